package httpx

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// linger is how long the rest of a body is read and thrown away once its request was answered. A connection that is closed
// with bytes unread is reset, and its client may lose the answer.
const linger = 500 * time.Millisecond

// EdgeBody is the body of a request that is passed on over the network: it is read by another goroutine, perhaps for longer
// than the handler runs, and may be answered before it was read. Make it with [LimitEdgeBody].
type EdgeBody struct {
	raw     io.Reader
	bounded *boundedBody
	ctl     *http.ResponseController // nil where the connection is not known
	http2   bool

	reading sync.Mutex // held by each Read; it guards bounded and ended
	ended   bool

	mu      sync.Mutex
	err     error // how reading ended
	stopped bool
}

// LimitEdgeBody bounds the body of r as a service's server does: at most limit bytes, in time. It
// returns nil where there is no body. The handler has to call Answering before the answer begins, and End before it
// returns.
func LimitEdgeBody(w http.ResponseWriter, r *http.Request, limit int64, in BodyTime) *EdgeBody {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	// MaxBytesReader does not get w: it would change the answer's header while somebody else writes it.
	bounded := within(w, http.MaxBytesReader(nil, r.Body, limit), in)
	return &EdgeBody{raw: r.Body, bounded: bounded, ctl: bounded.ctl, http2: r.ProtoMajor >= 2}
}

// Read reads on, until End.
func (b *EdgeBody) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.ended {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.bounded.Read(p)
	if err != nil {
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
	return n, err
}

// Close does nothing: net/http closes the body when the handler has returned, and to close it may be to wait for it.
func (*EdgeBody) Close() error { return nil }

func (b *EdgeBody) whole() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Is(b.err, io.EOF)
}

// Failure is what the client is answered because its body could not be read: what [ReadBody] would have failed with. It
// is nil where the body was read, or is still being read. It waits for a Read that is under way when the request's context
// has ended: net/http ends that before the Read returns.
func (b *EdgeBody) Failure(r *http.Request) error {
	if r.Context().Err() != nil {
		b.reading.Lock()
		defer b.reading.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil || errors.Is(b.err, io.EOF) {
		return nil
	}
	return readError(b.err)
}

// Answering is called before the answer begins. An answer that comes before the body was read to its end does not wait for
// the rest, as net/http would have it over HTTP/1.1; the connection ends with it.
func (b *EdgeBody) Answering(h http.Header) {
	if b.http2 || b.ctl == nil || b.whole() {
		return
	}
	if b.ctl.EnableFullDuplex() == nil {
		h["Connection"] = []string{"close"}
	}
}

// Stop ends a Read that is under way, at once or in a moment. The answer must be complete: over HTTP/1.1 the context of the
// request ends with the Read.
func (b *EdgeBody) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctl == nil || b.stopped || errors.Is(b.err, io.EOF) {
		return
	}
	b.stopped = true
	until := time.Unix(1, 0) // an HTTP/2 stream is ended without harm to what it was answered
	if !b.http2 {
		until = time.Now().Add(linger)
	}
	_ = b.ctl.SetReadDeadline(until) // it could be set before
}

// End is called after the answer was sent. It stops reading, throws away what the client still sends for a moment, and
// keeps net/http from waiting for more. Nothing is read afterwards.
func (b *EdgeBody) End() {
	if b.ctl == nil { // nobody can end a Read
		return
	}
	b.Stop()
	b.reading.Lock()
	defer b.reading.Unlock()
	b.ended = true
	b.mu.Lock()
	stopped := b.stopped
	b.mu.Unlock()
	switch {
	case !stopped: // it was read to its end before
	case b.whole(): // meanwhile
		_ = b.ctl.SetReadDeadline(time.Time{})
	default:
		_, _ = io.Copy(io.Discard, b.raw) // the client is told nothing more
		_ = b.ctl.SetReadDeadline(time.Unix(1, 0))
	}
}
