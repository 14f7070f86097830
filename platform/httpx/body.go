package httpx

import (
	"io"
	"net/http"
	"time"
)

// MinStreamRate is how many bytes a second a streamed body has to come with, on average after streamGrace: who sends less
// occupies the server for nothing.
const MinStreamRate = 1 << 10

const (
	// streamGrace is how long a streamed body may come more slowly.
	streamGrace = time.Minute
	// extendEvery is how often its deadline is moved at most.
	extendEvery = time.Second
)

// BodyTime is how a body has to come: within the timeout, or, streamed, without a pause of that length and not too slowly.
type BodyTime struct {
	Timeout time.Duration
	Stream  bool
}

// limitBody bounds a request's body: at most limit bytes (then *http.MaxBytesError), and, where the connection is
// known, in time, so that a client that sends slowly holds nothing for long. The deadline falls
// when the body has been read to its end: it never cuts a long poll.
func limitBody(w http.ResponseWriter, body io.ReadCloser, limit int64, in BodyTime) *boundedBody {
	return within(w, http.MaxBytesReader(w, body, limit), in)
}

func within(w http.ResponseWriter, body io.ReadCloser, in BodyTime) *boundedBody {
	b := &boundedBody{ReadCloser: body, in: in, began: time.Now()}
	ctl := http.NewResponseController(w)
	if ctl.SetReadDeadline(b.began.Add(in.Timeout)) == nil {
		b.ctl, b.moved = ctl, b.began
	}
	return b
}

type boundedBody struct {
	io.ReadCloser
	in    BodyTime
	ctl   *http.ResponseController // nil once there is no deadline
	began time.Time
	// moved is when the deadline was set, n how much has come; both for streams.
	moved time.Time
	n     int64
	// failed is why reading ended before the body did.
	failed error
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	if b.in.Stream && err == nil && b.ctl != nil {
		b.extend()
	}
	if err != nil && err != io.EOF {
		b.failed = err
	}
	// After any other error the deadline stays: net/http reads the rest before it answers, and must not wait for it.
	if err == io.EOF && b.ctl != nil {
		_ = b.ctl.SetReadDeadline(time.Time{}) // it could be set, so it can be reset
		b.ctl = nil
	}
	return n, err
}

// extend moves the deadline of a body that comes on.
func (b *boundedBody) extend() {
	now := time.Now()
	if now.Sub(b.moved) < min(extendEvery, b.in.Timeout/4) {
		return
	}
	b.moved = now
	_ = b.ctl.SetReadDeadline(b.in.deadline(b.began, now, b.n)) // it could be set
}

// deadline is until when more must come of a body of which n bytes have come.
func (t BodyTime) deadline(began, now time.Time, n int64) time.Time {
	pause, whole := now.Add(t.Timeout), began.Add(streamGrace+time.Duration(n)*(time.Second/MinStreamRate))
	if whole.Before(pause) {
		return whole
	}
	return pause
}
