package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/platform/obs"
)

// headerKey tells the service, and whatever chooses its instance, the key that the request is about: a room id or a
// user id, percent-encoded.
const headerKey = "X-Hongyan-Key"

// maxRestarts bounds how often a long poll is begun again because its token was forgotten and is still good.
const maxRestarts = 4

// request is what the edge knows of a request while it answers it.
type request struct {
	endpoint *endpoint
	params   httpx.Params
	token    string
	session  *session // nil where nobody is signed in
	address  netip.Addr
	id       string
	began    time.Time
}

// ServeHTTP answers everything that comes from outside. What is done before a poll is parked and after it lies in
// functions of its own: a parked poll holds the stack of those that it is called through.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setCORS(w.Header())
	if r.Method == http.MethodOptions {
		preflight(w)
		return
	}
	q := &request{id: s.ids.next(), began: s.clock()}
	w.Header()["X-Request-Id"] = []string{q.id}
	ew := &edgeWriter{ResponseWriter: w}
	err := s.admit(ew, r, q)
	switch {
	case err != nil:
	case q.endpoint.route.LongPoll && q.session != nil:
		err = s.poll(ew, r, q)
	default:
		s.setHeaders(r, q)
		err = s.forward(ew, r, q)
	}
	s.finish(ew, r, q, err)
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
	if q.endpoint != nil {
		q.endpoint.metrics.answered(w.answered(), took)
	}
	logAccess(q, r.Method, func() string { return obs.RedactURL(r.URL) }, w.answered(), took)
}

// admit finds the route and checks who calls and how often. An error says that nothing was answered.
//
//go:noinline
func (s *Service) admit(w *edgeWriter, r *http.Request, q *request) error {
	q.address = clientAddress(r, s.trusted)
	match, err := s.routes.matcher.Match(r.Method, r.URL.EscapedPath())
	if err != nil {
		if match.Allow != "" {
			w.Header().Set("Allow", match.Allow)
		}
		return err
	}
	if match.Value.transport == nil {
		return matrix.NewError(matrix.CodeUnrecognized, "Unrecognized request: this server does not have it yet.")
	}
	q.endpoint, q.params = match.Value, match.Params
	if q.endpoint.route.Auth != httpx.AuthNone {
		q.token = accessToken(r)
		if err := s.authenticate(r.Context(), q); err != nil {
			return err
		}
	}
	dropAccessToken(r)
	if err := s.limits.take(q.endpoint.route.Limit, q.user(), q.address); err != nil {
		return err
	}
	return checkLength(r, q.endpoint.route)
}

// forward has a service answer. What keeps it from answering is 503, and nothing where the client went away.
func (s *Service) forward(w *edgeWriter, r *http.Request, q *request) error {
	err := httpx.Forward(w, r, q.endpoint.transport)
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
	err = s.forward(w, r.WithContext(ctx), q)
	if w.wait != nil && err == nil {
		if err = s.goOn(ctx, w, q, parked); errors.Is(err, errTaken) {
			return err
		}
	}
	w.poll, w.lot, w.wait = nil, nil, nil
	if parked.forgotten.Load() && w.status == 0 {
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
		caller.IdempotencyKey = q.id
	}
	dropConnectionHeaders(r.Header)
	httpx.SetCaller(r.Header, caller)
	if key := q.key(); key != "" {
		r.Header[headerKey] = []string{url.PathEscape(key)}
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
	limit := route.MaxBody
	if limit == 0 {
		limit = httpx.DefaultMaxBody
	}
	if r.ContentLength > limit {
		return matrix.Errorf(matrix.CodeTooLarge, "The body is larger than %d bytes.", limit)
	}
	return nil
}
