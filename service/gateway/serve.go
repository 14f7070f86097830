package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/platform/obs"
)

// maxRestarts bounds how often a long poll is begun again because its token was forgotten and is still good.
const maxRestarts = 4

// errClosing refuses a poll that comes while the last answers are waited for.
var errClosing = errors.New("this gateway closes")

// request is what the edge knows of a request while it answers it.
type request struct {
	endpoint *endpoint
	params   httpx.Params
	token    string
	session  *session // nil where nobody is signed in
	address  netip.Addr
	id       string
	began    time.Time
	// body is a poll's, where it may have to be sent several times.
	body []byte
	// keeps is how many bytes of it are counted.
	keeps int64
	// span is the request's in a trace; nil before its route is known.
	span trace.Span
}

// ServeHTTP answers everything that comes from outside. What is done before a poll is parked and after it lies in
// functions of its own: a parked poll holds the stack of those that it is called through.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions {
		boundUnread(w, r)
		setCORS(w.Header())
		preflight(w)
		return
	}
	q := &request{id: s.ids.next(), began: s.clock()}
	setHeader(w.Header(), q.id)
	ew := &edgeWriter{ResponseWriter: w, from: lotOf(r)}
	traced, err := s.admit(ew, r, q)
	r = traced
	switch {
	case err != nil:
		boundUnread(w, r)
	case q.endpoint.route.LongPoll && ew.from.closes():
		boundUnread(w, r)
		err = matrix.Unavailable(errClosing)
	case q.endpoint.route.LongPoll && q.session != nil:
		err = s.poll(ew, r, q)
	default:
		s.setHeaders(r, q)
		err = s.forward(ew, r, q)
	}
	s.finish(ew, r, q, err)
}

// unreadTime is how long the body of a request is waited for that is answered without it.
const unreadTime = 2 * time.Second

// boundUnread keeps a body that nobody reads from holding up the answer for as long as its client likes: net/http reads what is
// left of it first. A connection on which it does not come in time ends with the answer.
func boundUnread(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadTime)) // it can be set where there is a connection
	}
}

// finish answers an error, counts and logs.
func (s *Service) finish(w *edgeWriter, r *http.Request, q *request, err error) {
	if errors.Is(err, errTaken) {
		return
	}
	if err != nil {
		s.refuse(w, r, err)
	}
	took := s.clock().Sub(q.began)
	q.endSpan(w.answered())
	if q.endpoint != nil {
		q.endpoint.metrics.answered(w.answered(), q.atFault(w.answered()), took)
	}
	logAccess(q, r.Method, func() string { return obs.RedactURL(r.URL) }, w.answered(), took)
}

// admit finds the route and checks who calls and how often. An error says that nothing was answered. It returns the
// request with the trace that it belongs to.
//
//go:noinline
func (s *Service) admit(w *edgeWriter, r *http.Request, q *request) (*http.Request, error) {
	q.address = clientAddress(r, s.trusted)
	match, err := s.find(r.Method, r.URL.EscapedPath())
	if err != nil {
		if match.Allow != "" {
			w.Header().Set("Allow", match.Allow)
		}
		return r, err
	}
	if match.Value.transport == nil {
		return r, matrix.NewError(matrix.CodeUnrecognized, "Unrecognized request: this server does not have it yet.")
	}
	q.endpoint, q.params = match.Value, match.Params
	r = s.beginSpan(r, q)
	if q.endpoint.route.Auth != httpx.AuthNone {
		q.token = accessToken(r)
		if err := s.authenticate(r.Context(), q); err != nil {
			return r, err
		}
	}
	dropAccessToken(r)
	if err := s.limits.take(q.endpoint.route.Limit, q.user(), q.address); err != nil {
		counted := "account"
		if q.user() == "" {
			counted = "address"
		}
		s.metrics.limit(q.endpoint.route.Limit, counted)
		return r, err
	}
	return r, checkLength(r, q.endpoint.route)
}

// forward has a service answer.
func (s *Service) forward(w *edgeWriter, r *http.Request, q *request) error {
	if q.endpoint.remote {
		return s.forwardRemote(w, r, q)
	}
	return s.answer(w, r, q.endpoint.transport)
}

// answer has a service answer. What keeps it from answering is 503, and nothing where the client went away.
func (s *Service) answer(w *edgeWriter, r *http.Request, transport http.RoundTripper) error {
	err := httpx.Forward(w, r, transport)
	if err == nil {
		return nil
	}
	var tooLarge *http.MaxBytesError
	switch {
	case httpx.IsClientGone(r, err):
		return context.Canceled
	case errors.As(err, &tooLarge):
		return err
	}
	return matrix.Unavailable(err)
}

// poll has a service answer a long poll that ends when its token is forgotten. Then the token is looked up again: the
// client reads what is wrong with it, or the poll begins anew.
func (s *Service) poll(w *edgeWriter, r *http.Request, q *request) error {
	defer func() { s.remote.keep(-q.keeps) }()
	for range maxRestarts {
		err := s.pollOnce(w, r, q)
		if !errors.Is(err, errPollStale) {
			return err
		}
		if err := s.authenticate(r.Context(), q); err != nil {
			return err
		}
	}
	return matrix.Unavailable(errors.New("the token was forgotten again and again"))
}

// pollOnce fails with errPollStale, and nothing answered, when the token was forgotten before the answer began. It fails
// with errTaken when the poll goes on without net/http.
func (s *Service) pollOnce(w *edgeWriter, r *http.Request, q *request) (err error) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	parked, err := s.sessions.park(q.session, cancel)
	if err != nil {
		return err
	}
	s.metrics.parked.Inc()
	defer func() {
		if !errors.Is(err, errTaken) {
			s.sessions.unpark(parked)
			s.metrics.parked.Dec()
		}
	}()
	w.poll, w.lot = parked, canTake(r)
	s.setHeaders(r, q)
	err = s.forwardPoll(ctx, w, r, q)
	if w.wait != nil && err == nil {
		if err = s.goOn(ctx, w, q, parked); errors.Is(err, errTaken) {
			return err
		}
	}
	w.poll, w.lot, w.wait = nil, nil, nil
	if parked.forgotten.Load() && w.status == 0 {
		setHeader(w.Header(), q.id) // of the answer that was dropped nothing stays
		return errPollStale
	}
	return err
}

// setHeaders replaces the internal headers that came in.
//
//go:noinline
func (s *Service) setHeaders(r *http.Request, q *request) {
	caller := httpx.Caller{RequestID: q.id, RemoteAddr: q.address}
	if e := q.session; e != nil {
		caller.UserID, caller.DeviceID, caller.TokenID = e.GetUserId(), e.GetDeviceId(), e.GetTokenId()
		caller.Admin, caller.Guest = e.GetAdmin(), e.GetGuest()
		caller.Locked, caller.Suspended = e.GetLocked(), e.GetSuspended()
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && q.params.Get("txnId") == "" {
		caller.IdempotencyKey = s.idempotencyKey(r, q)
	}
	dropConnectionHeaders(r.Header)
	dropUnderscores(r.Header)
	httpx.SetCaller(r.Header, caller)
	if key := q.key(); key != "" {
		r.Header[httpx.HeaderKey] = []string{url.PathEscape(key)}
	}
	if !q.endpoint.remote {
		return
	}
	if q.endpoint.route.Once {
		r.Header[httpx.HeaderOnce] = marked
	}
	if q.endpoint.route.Idempotent && r.Method != http.MethodGet && r.Method != http.MethodPut {
		r.Header[httpx.HeaderIdempotent] = marked
	}
	if q.endpoint.route.LongPoll {
		r.Header[httpx.HeaderPoll] = marked
	}
}

// marked is the value of a header that is there or not; nobody changes it.
var marked = []string{"1"}

// dropUnderscores removes headers with an underscore in their names. To programs that get headers as variables (CGI,
// WSGI, Rack, PHP) X_Hongyan_User and X-Hongyan-User are one name.
func dropUnderscores(h http.Header) {
	for name := range h {
		if strings.Contains(name, "_") {
			delete(h, name)
		}
	}
}

// dropConnectionHeaders removes what the client's Connection header names (RFC 9110, section 7.6.1). It comes before
// the internal headers are set: nobody outside may name those.
func dropConnectionHeaders(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	delete(h, "Connection")
}

// user is who is signed in, or "".
func (q *request) user() string {
	if q.session == nil {
		return ""
	}
	return q.session.GetUserId()
}

// key is what chooses the instance that serves the request.
func (q *request) key() string {
	switch name := q.endpoint.route.Key; name {
	case "":
		return ""
	case httpx.KeyUser:
		return q.user()
	default:
		return q.params.Get(name)
	}
}

// checkLength refuses a body that says of itself that it is too large, before it is read.
func checkLength(r *http.Request, route httpx.Route) error {
	limit := route.BodyLimit()
	if r.ContentLength > limit {
		return matrix.Errorf(matrix.CodeTooLarge, "The body is larger than %d bytes.", limit)
	}
	return nil
}
