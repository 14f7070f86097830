package gateway

import (
	"net/http"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

// edgeWriter remembers what was answered, and drops the answer of a poll whose token was forgotten before the answer
// began.
type edgeWriter struct {
	http.ResponseWriter
	// status is 0 until the answer begins.
	status int
	// from is where the request came in; nil in tests without a listener.
	from *lot
	// poll is the parked poll that is being answered, if it is one.
	poll *poll
	// lot is where the connection could come back from, if it can be taken; wait is set when the handler wants that.
	lot  *lot
	wait httpx.Wait
	// body is what the client still sends while a service over the network answers; nil for none.
	body *httpx.EdgeBody
}

// connectionClose sends a client away; net/http only reads it.
var connectionClose = []string{"close"}

// Park notes that the handler wants to wait without net/http (httpx.Parker).
func (w *edgeWriter) Park(wait httpx.Wait) bool {
	if w.lot == nil || w.status != 0 || w.wait != nil {
		return false
	}
	w.wait = wait
	return true
}

func (w *edgeWriter) drops() bool { return w.status == 0 && w.poll != nil && w.poll.forgotten.Load() }

// WriteHeader begins the answer.
func (w *edgeWriter) WriteHeader(status int) {
	if w.drops() {
		return
	}
	if status >= http.StatusOK && w.status == 0 {
		w.status = status
		if w.from.leaves() {
			w.Header()["Connection"] = connectionClose
		}
		if w.body != nil {
			w.body.Answering(w.Header())
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write goes on with the answer, or begins it.
func (w *edgeWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.status == 0 { // dropped
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// Flush sends what was written so far.
func (w *edgeWriter) Flush() {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.status != 0 {
		_ = http.NewResponseController(w.ResponseWriter).Flush() // without it the answer comes at the end
	}
}

// Unwrap is for http.ResponseController.
func (w *edgeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// answered is the status that the client reads: net/http answers 200 where a handler wrote nothing.
func (w *edgeWriter) answered() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// refuse answers an error of the edge itself.
func (s *Service) refuse(w *edgeWriter, r *http.Request, err error) {
	if w.status != 0 {
		return // the answer has begun; Forward let the client see where it broke off
	}
	setCORS(w.Header()) // a service that failed may have cleared the headers
	s.metrics.refused.WithLabelValues(string(matrix.AsError(err).Code)).Inc()
	httpx.WriteError(w, r, err)
}
