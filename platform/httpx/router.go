package httpx

import (
	"net/http"

	zerohttpx "github.com/zeromicro/go-zero/rest/httpx"

	"hongyan/matrix"
)

// A Router serves handlers by method and escaped path, as [Matcher] says. It is go-zero's router interface for
// rest.WithRouter; parameters are the request's path values.
type Router struct {
	matcher    Matcher[http.Handler]
	notFound   http.Handler
	notAllowed http.Handler
}

var _ zerohttpx.Router = (*Router)(nil)

// NewRouter returns an empty router.
func NewRouter() *Router { return &Router{} }

// Handle binds a handler; it fails when the pattern is malformed or bound already.
func (rt *Router) Handle(method, path string, handler http.Handler) error {
	return rt.matcher.Add(method, path, handler)
}

// SetNotFoundHandler replaces the answer for unknown paths (404 M_UNRECOGNIZED).
func (rt *Router) SetNotFoundHandler(h http.Handler) { rt.notFound = h }

// SetNotAllowedHandler replaces the answer for a known path with another method (405 M_UNRECOGNIZED).
func (rt *Router) SetNotAllowedHandler(h http.Handler) { rt.notAllowed = h }

// ServeHTTP serves the handler that fits.
func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := rt.find(w, r); h != nil {
		h.ServeHTTP(w, r)
	}
}

// find returns the handler that fits, with the request's path values set, or nil after a refusal. A parked poll holds
// the stack of ServeHTTP, which is small without what matching needs.
//
//go:noinline
func (rt *Router) find(w http.ResponseWriter, r *http.Request) http.Handler {
	m, err := rt.matcher.Match(r.Method, r.URL.EscapedPath())
	if err != nil {
		rt.refuse(w, r, m.Allow, err)
		return nil
	}
	for i := range m.Params.Len() {
		r.SetPathValue(m.Params.At(i))
	}
	return m.Value
}

func (rt *Router) refuse(w http.ResponseWriter, r *http.Request, allow string, err error) {
	if allow != "" {
		w.Header().Set("Allow", allow)
	}
	switch status := matrix.AsError(err).Status; {
	case status == http.StatusNotFound && rt.notFound != nil:
		rt.notFound.ServeHTTP(w, r)
	case status == http.StatusMethodNotAllowed && rt.notAllowed != nil:
		rt.notAllowed.ServeHTTP(w, r)
	default:
		WriteError(w, r, err)
	}
}
