package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/platform/obs"
)

// lastAnswers is how long polls that are told to end may take to be written.
const lastAnswers = 5 * time.Second

// parking counts the polls that were taken over from net/http, so that Run waits for them.
//
// A request that waits within net/http costs the stack of the whole chain of handlers, two buffers of 4 KiB and a second
// goroutine. A poll that is idle for some time is therefore taken from it (httpx.Park): the connection is hijacked, two
// small goroutines wait for news and for the client to go away, the answer is written to the connection, and the
// connection goes back to the listener for the next request.
type parking struct {
	mu     sync.Mutex
	closed bool
	polls  map[*takenPoll]struct{}
	done   sync.WaitGroup
}

// enter counts a poll that leave is called for; false says that nothing may be parked any more.
func (p *parking) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.done.Add(1)
	return true
}

// add notes a poll that has entered, so that close ends it.
func (p *parking) add(t *takenPoll) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.polls == nil {
		p.polls = map[*takenPoll]struct{}{}
	}
	p.polls[t] = struct{}{}
	if p.closed {
		t.cancel(httpx.ErrAnswerNow)
	}
}

func (p *parking) leave(t *takenPoll) {
	p.mu.Lock()
	delete(p.polls, t)
	p.mu.Unlock()
	p.done.Done()
}

// close has all polls answered and waits for them; whose client does not read is cut off.
func (p *parking) close() {
	p.mu.Lock()
	p.closed = true
	for t := range p.polls {
		t.cancel(httpx.ErrAnswerNow)
	}
	p.mu.Unlock()
	cut := time.AfterFunc(lastAnswers, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for t := range p.polls {
			_ = t.conn.Close() // its poll ends with it
		}
	})
	defer cut.Stop()
	p.done.Wait()
}

// takenPoll is a poll that was taken over.
type takenPoll struct {
	s      *Service
	q      *request
	conn   *boundedConn
	lot    *lot
	poll   *poll
	wait   httpx.Wait
	cancel context.CancelCauseFunc
}

// canTake tells whether a request's connection can be taken over: HTTP/1.1 without TLS, kept alive, from our listener.
func canTake(r *http.Request) *lot {
	if r.Method != http.MethodGet || r.ProtoMajor != 1 || r.ProtoMinor < 1 || r.TLS != nil || r.Close || r.ContentLength != 0 {
		return nil
	}
	return lotOf(r)
}

// errTaken says that a poll goes on without net/http.
var errTaken = errors.New("the poll was taken over")

// goOn has a poll that its handler left be answered later, and fails with errTaken; or waits for the answer where the
// connection cannot be taken. That answer may have been dropped, as any answer of a poll whose token was forgotten.
func (s *Service) goOn(ctx context.Context, w *edgeWriter, q *request, p *poll) error {
	if !s.parking.enter() { // the gateway stops
		ended, cancel := context.WithCancelCause(ctx)
		cancel(httpx.ErrAnswerNow)
		return w.wait(ended, w)
	}
	base, cancel := context.WithCancelCause(obs.WithRequestID(q.traced(w.lot.base), q.id))
	t := &takenPoll{s: s, q: q, lot: w.lot, poll: p, wait: w.wait, cancel: cancel}
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		defer s.parking.leave(t)
		defer cancel(nil)
		return w.wait(ctx, w)
	}
	t.conn = boundedOf(conn)
	if n := buffered.Reader.Buffered(); n > 0 { // the client did not wait for the answer
		early, _ := buffered.Reader.Peek(n) // n bytes are there
		t.conn.unread(early)
	}
	s.parking.add(t)
	s.sessions.onForget(p, func() { cancel(httpx.ErrAnswerNow) })
	go t.run(base)
	return errTaken
}

// run waits, answers, and gives the connection back.
func (t *takenPoll) run(ctx context.Context) {
	defer t.s.parking.leave(t)
	defer t.s.metrics.parked.Dec()
	defer t.cancel(nil)
	watched := make(chan bool, 1)
	go t.watch(watched)
	answer := t.answer(ctx)
	_ = t.conn.SetReadDeadline(longAgo) // ends the watch
	gone := <-watched
	t.s.sessions.unpark(t.poll)
	if gone || answer.broken {
		_ = t.conn.Close() // nobody reads what could be said about it
		t.finish(httpx.StatusClientGone)
		return
	}
	leaves := t.lot.leaves()
	if leaves {
		answer.header["Connection"] = connectionClose
	}
	_ = t.conn.SetReadDeadline(time.Time{}) // a connection that is closed is noticed by the write
	if _, err := t.conn.Write(answer.bytes()); err != nil {
		_ = t.conn.Close() // nobody reads what could be said about it
		t.finish(httpx.StatusClientGone)
		return
	}
	t.finish(answer.status)
	if leaves {
		_ = t.conn.Close() // the answer said so
		return
	}
	t.lot.put(t.conn)
}

// longAgo as a deadline ends what waits.
var longAgo = time.Unix(1, 0)

// watch notices that the client goes away, and keeps what it sends early.
func (t *takenPoll) watch(gone chan<- bool) {
	if len(t.conn.early) > 0 { // a client that sends early cannot be watched
		gone <- false
		return
	}
	var one [1]byte
	n, err := t.conn.Conn.Read(one[:])
	switch {
	case n > 0:
		t.conn.unread(one[:])
	case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
		t.cancel(nil)
		gone <- true
		return
	}
	gone <- false
}

// answer waits and returns the answer. A poll whose token was forgotten is answered by what is wrong with the token.
func (t *takenPoll) answer(ctx context.Context) *takenAnswer {
	a := newTakenAnswer(t.q.id)
	err := t.waitSafely(ctx, a)
	if errors.Is(context.Cause(ctx), context.Canceled) { // the client is gone
		a.broken = true
	}
	if a.broken {
		return a
	}
	if t.poll.forgotten.Load() {
		fresh, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.s.cfg.Auth.Timeout)
		defer cancel()
		if refusal := t.s.authenticate(fresh, t.q); refusal != nil {
			t.s.metrics.refused.WithLabelValues(string(matrix.AsError(refusal).Code)).Inc()
			err = refusal
		}
	}
	if err != nil {
		a = newTakenAnswer(t.q.id)
		httpx.WriteError(a, t.request(ctx), err)
	}
	return a
}

// waitSafely calls wait. A panic breaks the connection, as in net/http.
func (t *takenPoll) waitSafely(ctx context.Context, a *takenAnswer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			a.broken = true
			logx.WithContext(ctx).Errorw("a parked poll panicked", logx.Field("route", t.q.endpoint.route.Path),
				logx.Field("panic", obs.Redact(fmt.Sprint(p))), logx.Field("stack", string(debug.Stack())))
		}
	}()
	return t.wait(ctx, a)
}

// request is what WriteError logs of the request, which is not kept.
func (t *takenPoll) request(ctx context.Context) *http.Request {
	r, _ := http.NewRequestWithContext(context.WithoutCancel(ctx), t.q.endpoint.route.Method, "/", http.NoBody) // "/" is a URL
	r.URL.Path = t.q.endpoint.route.Path
	return r
}

// finish counts and logs.
func (t *takenPoll) finish(status int) {
	took := t.s.clock().Sub(t.q.began)
	t.q.endSpan(status)
	t.q.endpoint.metrics.answered(status, t.q.atFault(status), took)
	route := t.q.endpoint.route
	logAccess(t.q, route.Method, func() string { return route.Path }, status, took)
}
