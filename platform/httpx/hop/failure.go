package hop

import (
	"errors"
	"fmt"
	"net/http/httptrace"
	"sync/atomic"
)

// ErrUnreachable is in the chain of errors that say that no instance of a service can be reached.
var ErrUnreachable = errors.New("no instance can be reached")

// errRefused says that the instance takes no requests and has not looked at this one.
var errRefused = errors.New("the instance refuses requests: it starts or drains")

// fate is what became of an attempt that was not answered.
type fate int

const (
	// final attempts are not repeated, whatever the request: its caller is gone or its body broke.
	final fate = iota
	// unheard requests were seen by no handler: any may be repeated.
	unheard
	// sent requests may have been served.
	sent
	// aborted requests were sent, and the instance that ended them lives.
	aborted
)

// watcher sees whether anything of a request was written. Where that is not certain it says so.
type watcher struct{ wrote atomic.Bool }

func (w *watcher) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{WroteHeaders: func() { w.wrote.Store(true) }}
}

// fateOf judges the error of a request on a connection.
func (w *watcher) fateOf(err error) fate {
	var stream streamError
	switch {
	case !w.wrote.Load(), isGoAway(err):
		return unheard
	case errors.As(err, &stream):
		if stream.Code == refusedStream {
			return unheard
		}
		return aborted
	}
	return sent
}

// streamError has the shape of net/http's own, which lets itself be read as any type of this shape (golang/go#53896).
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// refusedStream is the HTTP/2 code of a stream that was not processed in any way (RFC 9113, section 8.7).
const refusedStream = 0x7

func (e streamError) Error() string { return fmt.Sprintf("stream %d: code %d", e.StreamID, e.Code) }

// isGoAway tells whether the instance said that it did not and will not look at the request (RFC 9113, section 6.8).
// net/http has no other way to tell than its text; a test notices when that changes.
func isGoAway(err error) bool {
	return err.Error() == "http2: Transport received Server's graceful shutdown GOAWAY"
}
