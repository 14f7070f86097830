package gateway

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
)

// takenAnswer is the answer of a poll that was taken over from net/http: an http.ResponseWriter that keeps it until it
// is whole.
type takenAnswer struct {
	header http.Header
	status int
	body   []byte
	// broken says that there is no answer, and that the connection ends.
	broken bool
}

func newTakenAnswer(id string) *takenAnswer {
	a := &takenAnswer{header: http.Header{}}
	setHeader(a.header, id)
	return a
}

// Header is the answer's header.
func (a *takenAnswer) Header() http.Header { return a.header }

// WriteHeader sets the status.
func (a *takenAnswer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
	}
}

// Write adds to the body.
func (a *takenAnswer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, p...)
	return len(p), nil
}

// bytes is the answer as HTTP/1.1 writes it.
func (a *takenAnswer) bytes() []byte {
	a.WriteHeader(http.StatusOK)
	a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
	a.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	var out bytes.Buffer
	out.Grow(1024 + len(a.body))
	out.WriteString("HTTP/1.1 " + strconv.Itoa(a.status) + " " + http.StatusText(a.status) + "\r\n")
	_ = a.header.Write(&out) // a buffer takes everything
	out.WriteString("\r\n")
	out.Write(a.body)
	return out.Bytes()
}
