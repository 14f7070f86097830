package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

// remoteGrace is how much longer than its route's deadline a request over the network may take: the service's own
// deadline comes first and has the better answer.
const remoteGrace = 5 * time.Second

// remotePolls are the long polls that wait behind the network. When this gateway stops, the services that they wait in go
// on: it has to end them itself.
type remotePolls struct {
	mu       sync.Mutex
	draining bool
	polls    map[*remotePoll]struct{}
	bodies   int64 // bytes that are kept
}

// maxPollBodies is how many bytes of the bodies of all polls are kept together.
const maxPollBodies = 256 << 20

// keep counts bytes of bodies that are kept, or gives them back; false says that there are too many.
func (p *remotePolls) keep(n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n > 0 && p.bodies+n > maxPollBodies {
		return false
	}
	p.bodies += n
	return true
}

type remotePoll struct{ cancel context.CancelCauseFunc }

// add notes a poll; false says that nothing may wait any more.
func (p *remotePolls) add(poll *remotePoll) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draining {
		return false
	}
	if p.polls == nil {
		p.polls = map[*remotePoll]struct{}{}
	}
	p.polls[poll] = struct{}{}
	return true
}

// begin takes a poll out whose answer begins, or that ended: nobody disturbs it any more. False says that it was told to
// answer now.
func (p *remotePolls) begin(poll *remotePoll) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, waits := p.polls[poll]
	delete(p.polls, poll)
	return waits
}

// answerNow ends the waiting of a poll, unless its answer has begun.
func (p *remotePolls) answerNow(poll *remotePoll) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, waits := p.polls[poll]; waits {
		delete(p.polls, poll)
		poll.cancel(httpx.ErrAnswerNow) // under the lock, so that who is told sees why
	}
}

// drain lets nothing wait from now on and returns what waits.
func (p *remotePolls) drain() []*remotePoll {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.draining = true
	list := make([]*remotePoll, 0, len(p.polls))
	for poll := range p.polls {
		list = append(list, poll)
	}
	return list
}

// Drain has the polls answered that wait behind the network, spread over the time until ctx ends: the service is asked
// again and told not to wait. Polls that come later are not left waiting either; answers that have begun go on.
func (s *Service) Drain(ctx context.Context) error {
	polls := s.remote.drain()
	var pause time.Duration
	if end, ok := ctx.Deadline(); ok && len(polls) > 0 {
		pause = time.Until(end) * 3 / 4 / time.Duration(len(polls))
	}
	for _, p := range polls {
		s.remote.answerNow(p)
		if pause <= 0 {
			continue
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done(): // the others at once
			timer.Stop()
			pause = 0
		}
	}
	return nil
}

// forwardRemote has a service in another process answer, within the route's deadline where it has one.
func (s *Service) forwardRemote(w *edgeWriter, r *http.Request, q *request) error {
	body := q.limitBody(w, r)
	if body == nil {
		return s.answerRemote(w, r, q, q.endpoint.transport)
	}
	defer body.End()
	w.body = body
	defer func() { w.body = nil }()
	passed := *r
	passed.Body = body
	err := s.answerRemote(w, &passed, q, bodyTransport{q.endpoint.transport, body})
	if err == nil {
		w.Flush() // before the rest of the body is waited for
		return nil
	}
	if failure := body.Failure(r); failure != nil {
		err = failure
	}
	s.refuse(w, r, err) // likewise
	w.Flush()
	return err
}

func (s *Service) answerRemote(w *edgeWriter, r *http.Request, q *request, transport http.RoundTripper) error {
	if q.endpoint.route.LongPoll || q.endpoint.route.Stream {
		return s.answer(w, r, transport)
	}
	ctx, cancel := context.WithTimeout(r.Context(), routeTimeout(q.endpoint.route)+remoteGrace)
	defer cancel()
	return s.answer(w, r.WithContext(ctx), transport)
}

// bodyTransport ends the reading of a request's body before its answer is closed: over HTTP/2 that waits for the Read.
type bodyTransport struct {
	next http.RoundTripper
	body *httpx.EdgeBody
}

// RoundTrip sends the request.
func (t bodyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(r)
	if err == nil {
		res.Body = endingBody{res.Body, t.body}
	}
	return res, err
}

type endingBody struct {
	io.ReadCloser
	body *httpx.EdgeBody
}

// Close ends both.
func (b endingBody) Close() error {
	b.body.Stop()
	return b.ReadCloser.Close()
}

// limitBody holds the body to the route's bounds, where the request has one that was not read yet: a service over the
// network cannot end a connection whose client does not send.
func (q *request) limitBody(w *edgeWriter, r *http.Request) *httpx.EdgeBody {
	if q.body != nil {
		return nil
	}
	route := q.endpoint.route
	return httpx.LimitEdgeBody(w.ResponseWriter, r, route.BodyLimit(), route.BodyTime())
}

// forwardPoll has a service answer a poll. One over the network is asked again, and told not to wait, when this gateway
// stops.
func (s *Service) forwardPoll(ctx context.Context, w *edgeWriter, r *http.Request, q *request) error {
	if !q.endpoint.remote {
		return s.forward(w, r.WithContext(ctx), q)
	}
	if err := s.keepBody(w, r, q); err != nil {
		return err
	}
	waits, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	poll := &remotePoll{cancel: cancel}
	if s.remote.add(poll) {
		err := s.answer(w, q.repeat(waits, r), pollTransport{q.endpoint.transport, &s.remote, poll})
		s.remote.begin(poll) // it waits no more
		if !errors.Is(context.Cause(waits), httpx.ErrAnswerNow) || w.status != 0 || err == nil {
			return err
		}
	}
	now := q.repeat(ctx, r)
	url := *r.URL
	url.RawQuery = withoutWaiting(url.RawQuery)
	now.URL = &url
	return s.forward(w, now, q)
}

// pollTransport notes that the answer of a poll begins. One that was told to answer now fails instead: its answer would
// break off.
type pollTransport struct {
	next  http.RoundTripper
	polls *remotePolls
	poll  *remotePoll
}

// RoundTrip sends the request.
func (t pollTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(r)
	if err != nil || t.polls.begin(t.poll) {
		return res, err
	}
	_ = res.Body.Close() // the service is asked again
	return nil, httpx.ErrAnswerNow
}

// keepBody reads the body of a poll, which may have to be sent several times.
func (s *Service) keepBody(w *edgeWriter, r *http.Request, q *request) error {
	if q.body != nil {
		return nil
	}
	// It counts as long as the poll lasts; one that does not say how long it is counts as the longest.
	size := r.ContentLength
	if size < 0 {
		size = q.endpoint.route.BodyLimit()
	}
	if !s.remote.keep(size) {
		return matrix.Unavailable(errors.New("too many bodies of long polls are kept"))
	}
	q.keeps = size
	body := q.limitBody(w, r)
	if body == nil {
		return nil
	}
	defer body.End()
	kept, err := io.ReadAll(body)
	if failure := body.Failure(r); failure != nil {
		return failure
	}
	if err != nil {
		return fmt.Errorf("read the body: %w", err)
	}
	q.body = kept
	s.remote.keep(int64(len(kept)) - size)
	q.keeps = int64(len(kept))
	return nil
}

// repeat returns the request with its body from the beginning.
func (q *request) repeat(ctx context.Context, r *http.Request) *http.Request {
	again := r.WithContext(ctx)
	if q.body != nil {
		again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(q.body)), int64(len(q.body))
	}
	return again
}

// withoutWaiting sets a query's timeout to 0.
func withoutWaiting(query string) string {
	kept := []string{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair != "" && pair != "timeout" && !strings.HasPrefix(pair, "timeout=") {
			kept = append(kept, pair)
		}
	}
	return strings.Join(append(kept, "timeout=0"), "&")
}

func routeTimeout(route httpx.Route) time.Duration {
	if route.Timeout > 0 {
		return route.Timeout
	}
	return httpx.DefaultTimeout
}
