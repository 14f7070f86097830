package httpx

import (
	"context"
	"errors"
	"net/http"
)

// ErrAnswerNow is the cause of a Wait's context when the wait is over and an answer is wanted all the same.
var ErrAnswerNow = errors.New("the wait is over: answer now")

// Wait goes on with a request after its handler has returned: it waits until there is something to answer and answers
// it on w, or returns an error to answer. Where ctx ends with the cause ErrAnswerNow it answers what there is; where it
// ends otherwise the client is gone and nobody reads the answer. It does not use the handler's request or context any more.
type Wait func(ctx context.Context, w http.ResponseWriter) error

// Parker is an http.ResponseWriter whose owner can go on with a request without the handler.
type Parker interface {
	// Park takes a request over; false says that it does not, and the handler has to wait by itself.
	Park(wait Wait) bool
}

// Park hands a request that may wait for long to whoever serves the connection. Where it returns true the handler
// returns nil at once, without an answer, and wait is called on a goroutine that holds little else: a request that waits
// deep within a chain of handlers holds the stacks and buffers of all of them. Where it returns false, as it does behind
// a network, the handler calls wait itself.
func Park(w http.ResponseWriter, wait Wait) bool {
	for w != nil {
		if p, ok := w.(Parker); ok {
			return p.Park(wait)
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = u.Unwrap()
	}
	return false
}
