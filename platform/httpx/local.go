package httpx

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/obs"
)

// Local returns the upstream that is a handler in this process. As an http.RoundTripper it behaves as the network
// does: the handler runs beside the caller, the answer is handed over when its header is complete and then streams,
// cancelling the request or closing the answer's body cancels the handler's context, and a panic is a broken
// connection. As an http.Handler, which [Forward] prefers, it serves on the caller's goroutine.
func Local(h http.Handler) http.RoundTripper { return &local{handler: h} }

type local struct{ handler http.Handler }

// ServeHTTP serves the request on this goroutine.
func (l *local) ServeHTTP(w http.ResponseWriter, r *http.Request) { l.handler.ServeHTTP(w, r) }

// RoundTrip serves the request on a goroutine of its own, which ends with the handler. The answer's body must be
// closed, as always.
func (l *local) RoundTrip(r *http.Request) (*http.Response, error) {
	caller := r.Context()
	if err := caller.Err(); err != nil {
		closeBody(r)
		return nil, err
	}
	ctx, cancel := context.WithCancel(bare{caller})
	ex := &exchange{
		header: http.Header{}, ready: make(chan struct{}), pipe: newPipe(), cancel: cancel, request: r,
	}
	go ex.serve(l.handler, serverRequest(ctx, r))
	select {
	case <-ex.ready:
	case <-caller.Done():
	}
	// A handler that ends because its caller went away answers nothing, however quick it is about it.
	if caller.Err() != nil {
		ex.pipe.closeRead(caller.Err())
		cancel()
		return nil, caller.Err()
	}
	if ex.response == nil {
		cancel()
		return nil, ex.failure
	}
	stop := context.AfterFunc(caller, func() { ex.pipe.closeRead(caller.Err()) })
	ex.response.Body = &localBody{exchange: ex, stop: stop}
	return ex.response, nil
}

// bare is a context without values: none cross the network either.
type bare struct{ context.Context } //nolint:containedctx // it is a context

// Value returns nil.
func (bare) Value(any) any { return nil }

// AfterFunc spares package context a goroutine.
func (b bare) AfterFunc(f func()) func() bool { return context.AfterFunc(b.Context, f) }

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

// serverRequest returns r as a server would have read it.
func serverRequest(ctx context.Context, r *http.Request) *http.Request {
	in := r.Clone(ctx)
	in.RequestURI = r.URL.RequestURI()
	url := *r.URL
	url.Scheme, url.Host, url.User = "", "", nil
	in.URL = &url
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/2.0", 2, 0
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if in.Method == "" {
		in.Method = http.MethodGet
	}
	return in
}

// exchange is one request that a handler serves for a RoundTrip. It is the handler's http.ResponseWriter.
type exchange struct {
	request  *http.Request // as the caller has it
	header   http.Header
	pipe     *pipe
	cancel   context.CancelFunc
	status   int           // 0 until WriteHeader
	sent     http.Header   // the header as it was then
	begun    bool          // the answer was handed over; this and the two above are the handler's alone
	ready    chan struct{} // closed when response or failure is set
	response *http.Response
	failure  error
}

func (ex *exchange) serve(h http.Handler, in *http.Request) {
	defer ex.cancel()
	defer func() {
		_ = in.Body.Close()
		p := recover()
		if p == nil {
			ex.begin(nil)
			ex.pipe.closeWrite(io.EOF)
			return
		}
		if p != http.ErrAbortHandler { //nolint:errorlint // a panic value is never wrapped
			logx.WithContext(in.Context()).Errorw("handler panicked",
				logx.Field("panic", obs.Redact(fmt.Sprint(p))), logx.Field("stack", string(debug.Stack())))
		}
		if !ex.begun {
			ex.begun = true
			ex.failure = fmt.Errorf("in-process upstream: %w", io.ErrUnexpectedEOF)
			close(ex.ready)
			return
		}
		ex.pipe.closeWrite(io.ErrUnexpectedEOF)
	}()
	h.ServeHTTP(ex, in)
}

// Header returns the answer's header.
func (ex *exchange) Header() http.Header { return ex.header }

// WriteHeader fixes the status and the header. As over the network, they leave with the first write or flush.
// Informational statuses are dropped.
func (ex *exchange) WriteHeader(status int) {
	if ex.status == 0 && status >= 200 {
		ex.status, ex.sent = status, ex.header.Clone()
	}
}

// begin hands the answer over to the caller. first is the beginning of its body.
func (ex *exchange) begin(first []byte) {
	if ex.begun {
		return
	}
	ex.begun = true
	ex.WriteHeader(http.StatusOK)
	h := ex.sent
	if h == nil {
		h = http.Header{}
	}
	StripHop(h)
	if _, typed := h["Content-Type"]; !typed && h.Get("Content-Encoding") == "" && len(first) > 0 {
		h.Set("Content-Type", http.DetectContentType(first))
	}
	length := int64(-1)
	if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		length = n
	}
	ex.response = &http.Response{
		Status: strconv.Itoa(ex.status) + " " + http.StatusText(ex.status), StatusCode: ex.status,
		Proto: "HTTP/2.0", ProtoMajor: 2, Header: h, ContentLength: length, Request: ex.request,
	}
	close(ex.ready)
}

// Write appends to the answer's body; it waits for the reader when too much lies unread, and fails when the reader
// went away.
func (ex *exchange) Write(p []byte) (int, error) {
	ex.begin(p)
	if ex.request.Method == http.MethodHead {
		return len(p), nil
	}
	return ex.pipe.Write(p)
}

// Flush sends the header; what was written is readable already.
func (ex *exchange) Flush() { ex.begin(nil) }

// localBody is the answer's body as the caller has it.
type localBody struct {
	exchange *exchange
	stop     func() bool
}

func (b *localBody) Read(p []byte) (int, error) {
	n, err := b.exchange.pipe.Read(p)
	if gone := b.exchange.request.Context().Err(); err != nil && gone != nil {
		return n, gone // the handler may have ended first, because of that
	}
	return n, err
}

// Close lets the handler know that nobody reads on.
func (b *localBody) Close() error {
	b.stop()
	b.exchange.pipe.closeRead(http.ErrBodyReadAfterClose)
	b.exchange.cancel()
	return nil
}
