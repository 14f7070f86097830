package httpx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/zeromicro/go-zero/core/logx"
	"go.opentelemetry.io/otel/propagation"

	"hongyan/platform/obs"
)

// ErrUpstream is in the chain of every error that Forward returns: the request was not answered.
var ErrUpstream = errors.New("upstream failed")

// Forward passes a request on and streams the answer back, each piece as it comes. It uses r up: hop-by-hop headers
// are removed from it. The rest of it, the escaped path included, arrives as it is; rt chooses the address.
//
// An error means that nothing was answered, so that the caller may try elsewhere or answer 503. When the answer breaks
// off after it began, Forward panics with http.ErrAbortHandler, as net/http wants it, so that the client sees it.
//
// When rt is also an http.Handler ([Local]) it serves on this goroutine and writes to w directly: a parked long poll
// costs one goroutine.
func Forward(w http.ResponseWriter, r *http.Request, rt http.RoundTripper) error {
	StripHop(r.Header)
	if h, ok := rt.(http.Handler); ok {
		return forwardDirect(w, r, h)
	}
	return forwardProxy(w, r, rt)
}

// forwardProxy forwards over a RoundTripper.
//
//go:noinline
func forwardProxy(w http.ResponseWriter, r *http.Request, rt http.RoundTripper) error {
	var failure error
	proxy := httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL.RawQuery = pr.In.URL.RawQuery // which Rewrite would clean
			obs.Inject(pr.In.Context(), propagation.HeaderCarrier(pr.Out.Header))
			if pr.Out.URL.Host == "" {
				pr.Out.URL.Scheme, pr.Out.URL.Host = "http", "upstream"
			}
			for _, name := range [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				if v, ok := pr.In.Header[name]; ok {
					pr.Out.Header[name] = v
				}
			}
		},
		Transport:     rt,
		FlushInterval: -1,
		BufferPool:    copyBuffers{},
		ErrorLog:      log.New(io.Discard, "", 0), // the answer broke off: the client sees it, the service logs it
		ErrorHandler:  func(_ http.ResponseWriter, _ *http.Request, err error) { failure = err },
	}
	proxy.ServeHTTP(w, r)
	if failure != nil {
		return fmt.Errorf("forward %s: %w: %w", r.Method, ErrUpstream, failure)
	}
	return nil
}

// forwardDirect serves r with h. A panic before the answer began is what a broken connection is over the network.
func forwardDirect(w http.ResponseWriter, r *http.Request, h http.Handler) (err error) {
	if err := r.Context().Err(); err != nil {
		return fmt.Errorf("forward %s: %w: %w", r.Method, ErrUpstream, err)
	}
	rw := directWriter{response{ResponseWriter: w}}
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p != http.ErrAbortHandler { //nolint:errorlint // a panic value is never wrapped
			logx.WithContext(r.Context()).Errorw("handler panicked",
				logx.Field("panic", obs.Redact(fmt.Sprint(p))), logx.Field("stack", string(debug.Stack())))
		}
		if rw.begun {
			panic(http.ErrAbortHandler)
		}
		clear(w.Header())
		err = fmt.Errorf("forward %s: %w: %w", r.Method, ErrUpstream, io.ErrUnexpectedEOF)
	}()
	h.ServeHTTP(&rw, r)
	return nil
}

// directWriter drops hop-by-hop headers, as a hop would.
type directWriter struct{ response }

func (w *directWriter) WriteHeader(status int) {
	if !w.begun {
		StripHop(w.Header())
	}
	w.response.WriteHeader(status)
}

// hopHeaders belong to one connection (RFC 9110, section 7.6.1). Expect is answered by the edge.
var hopHeaders = [...]string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect",
}

// StripHop removes the headers that belong to one connection.
func StripHop(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range hopHeaders {
		delete(h, name)
	}
}

// copyBuffers lends the buffers that answers are copied through.
type copyBuffers struct{}

var copyBufferPool = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

func (copyBuffers) Get() []byte { return *copyBufferPool.Get().(*[]byte) }

func (copyBuffers) Put(b []byte) { copyBufferPool.Put(&b) }

// IsClientGone returns whether Forward failed because the client of r went away.
func IsClientGone(r *http.Request, err error) bool {
	return err != nil && errors.Is(r.Context().Err(), context.Canceled)
}
