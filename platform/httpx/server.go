package httpx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/service"
	"github.com/zeromicro/go-zero/core/trace"
	"github.com/zeromicro/go-zero/rest"

	"hongyan/matrix"
	"hongyan/platform/obs"
)

// Defaults of a route.
const (
	DefaultTimeout = 30 * time.Second
	DefaultMaxBody = 256 << 10
)

// HealthPath is where each listener of the trusted hop answers that it lives.
const HealthPath = "/healthz"

// Options of a server. The zero value is right.
type Options struct {
	// Timeout is how long a route without its own may take; 0 is DefaultTimeout.
	Timeout time.Duration
	// MaxBody is the largest body in bytes of a route without its own; 0 is DefaultMaxBody.
	MaxBody int64
	// NotFound answers unknown paths; nil is 404 M_UNRECOGNIZED.
	NotFound http.Handler
	// NotAllowed answers other methods of known paths; nil is 405 M_UNRECOGNIZED.
	NotAllowed http.Handler
}

// NewServer returns the handler of a service: go-zero's rest engine with the [Router] and a chain of metrics, recovery,
// the request id, the route's deadline and the bound on bodies. It starts no goroutine and owns no listener. It fails
// when two bindings are the same or one is malformed.
func NewServer(name string, bindings []Binding, opts Options) (http.Handler, error) {
	if opts.Timeout == 0 {
		opts.Timeout = DefaultTimeout
	}
	if opts.MaxBody == 0 {
		opts.MaxBody = DefaultMaxBody
	}
	router := NewRouter()
	router.SetNotFoundHandler(opts.NotFound)
	router.SetNotAllowedHandler(opts.NotAllowed)
	conf := rest.RestConf{
		// Only Name is used here: logging and metrics are set up by obs.Setup. go-zero's spans are off: their attributes
		// hold the whole query, which may be an access token.
		ServiceConf: service.ServiceConf{Name: name, Mode: service.ProMode, Telemetry: trace.Config{Disabled: true}},
		Middlewares: rest.MiddlewaresConf{Prometheus: true},
	}
	engine, err := rest.NewServer(conf, rest.WithRouter(router))
	if err != nil {
		return nil, fmt.Errorf("new server %s: %w", name, err)
	}
	for _, b := range bindings {
		if b.Handler == nil {
			return nil, fmt.Errorf("new server %s: %s %s has no handler", name, b.Method, b.Path)
		}
		if b.Timeout == 0 {
			b.Timeout = opts.Timeout
		}
		if b.MaxBody == 0 && !b.Stream {
			b.MaxBody = opts.MaxBody
		}
		engine.AddRoute(rest.Route{Method: b.Method, Path: b.Path, Handler: endpoint(name, b)})
	}
	built, err := rest.NewServerless(engine)
	if err != nil {
		return nil, fmt.Errorf("new server %s: %w", name, err)
	}
	return http.HandlerFunc(built.Serve), nil
}

// MustServer is NewServer for bindings that are part of the program: it panics where NewServer fails.
func MustServer(name string, bindings []Binding, opts Options) http.Handler {
	h, err := NewServer(name, bindings, opts)
	if err != nil {
		panic(err)
	}
	return h
}

// endpoint makes a binding a handler.
func endpoint(service string, b Binding) http.HandlerFunc {
	span := newRouteSpan(service, b.Route)
	return func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if id := r.Header.Get(headerRequestID); id != "" && id != obs.RequestID(ctx) {
			ctx = obs.WithRequestID(ctx, id)
		}
		ctx, ended := span.begin(ctx, r.Header)
		if !b.LongPoll && !b.Stream {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, b.Timeout)
			defer cancel()
		}
		if ctx != r.Context() {
			r = r.WithContext(ctx)
		}
		var body *boundedBody
		if r.Body != nil && r.Body != http.NoBody {
			body = limitBody(w, r.Body, b.BodyLimit(), b.BodyTime())
			r.Body = body
		}
		rw := response{ResponseWriter: w}
		if ended != nil {
			defer ended(&rw)
		}
		defer rw.recover(r)
		if err := b.Handler(&rw, r); err != nil {
			if body != nil && body.failed != nil && errors.Is(err, context.DeadlineExceeded) {
				err = readError(body.failed) // that time is over is the client's doing, who did not send
			}
			rw.fail(r, err)
		}
	}
}

// response remembers whether the answer has begun, and with what.
type response struct {
	http.ResponseWriter
	begun  bool
	status int // 0 is 200
}

func (w *response) WriteHeader(status int) {
	if status >= 200 && !w.begun {
		w.begun, w.status = true, status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(p)
}

// Flush sends what was written so far.
func (w *response) Flush() {
	w.begun = true
	_ = http.NewResponseController(w.ResponseWriter).Flush() // without it the answer comes at the end
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// fail answers an error of a handler.
func (w *response) fail(r *http.Request, err error) {
	if !w.begun {
		WriteError(w, r, err)
		return
	}
	// The client must see that the answer is not whole.
	logx.WithContext(r.Context()).Errorw("request failed after the answer began",
		logx.Field("method", r.Method), logx.Field("path", r.URL.Path), logx.Field("error", obs.Redact(err.Error())))
	panic(http.ErrAbortHandler)
}

// recover turns a panic into a 500; deferred by endpoint.
func (w *response) recover(r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // a panic value is never wrapped
		panic(p)
	}
	logx.WithContext(r.Context()).Errorw("handler panicked",
		logx.Field("method", r.Method), logx.Field("path", r.URL.Path),
		logx.Field("panic", obs.Redact(fmt.Sprint(p))), logx.Field("stack", string(debug.Stack())))
	if w.begun {
		panic(http.ErrAbortHandler)
	}
	w.begun, w.status = true, http.StatusInternalServerError
	e := matrix.Internal(nil)
	WriteJSON(w.ResponseWriter, e.Status, e)
}
