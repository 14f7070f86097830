package httpx

import (
	"io"
	"net/http"
	"time"
)

// limitBody bounds a request's body: at most limit bytes (then *http.MaxBytesError), and, where the connection is
// known, all of it within the timeout, so that a client that sends slowly holds nothing for long. The deadline falls
// when the body has been read to its end: it never cuts a long poll.
func limitBody(w http.ResponseWriter, body io.ReadCloser, limit int64, timeout time.Duration) io.ReadCloser {
	return within(w, http.MaxBytesReader(w, body, limit), timeout)
}

func within(w http.ResponseWriter, body io.ReadCloser, timeout time.Duration) *boundedBody {
	b := &boundedBody{ReadCloser: body}
	ctl := http.NewResponseController(w)
	if ctl.SetReadDeadline(time.Now().Add(timeout)) == nil {
		b.ctl = ctl
	}
	return b
}

type boundedBody struct {
	io.ReadCloser
	ctl *http.ResponseController // nil once there is no deadline
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	// After any other error the deadline stays: net/http reads the rest before it answers, and must not wait for it.
	if err == io.EOF && b.ctl != nil {
		_ = b.ctl.SetReadDeadline(time.Time{}) // it could be set, so it can be reset
		b.ctl = nil
	}
	return n, err
}
