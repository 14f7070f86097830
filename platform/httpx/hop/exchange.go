package hop

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"time"

	"hongyan/platform/httpx"
	"hongyan/platform/registry"
)

const (
	// maxSends is how often a request may be sent in all, maxAttempts how often it may be tried, with attempts that end
	// before it is sent.
	maxSends    = 4
	maxAttempts = 12
	// backoff is the longest pause before a request that was sent is sent again; pauses are random.
	backoff = 10 * time.Millisecond
	// again is how long an instance that failed a request is not tried by it.
	again = 300 * time.Millisecond
	// look is how often a request that waits for an instance looks, where nobody tells it of a change.
	look = 50 * time.Millisecond
)

// exchange is one request with its attempts.
type exchange struct {
	*upstream
	request *http.Request
	header  http.Header
	key     string
	// once forbids to send it twice; poll says that it waits for news; idempotent allows to send it twice.
	once, poll, idempotent bool
	body                   *source

	attempts, sends int
	tried           []trial
	waited          time.Duration
	desperate       bool // instances that are down are tried too
	err             error
}

// trial is an instance that failed.
type trial struct {
	key   string
	at    time.Time
	never bool // it is not tried again
}

// RoundTrip sends a request to an instance and returns the answer.
func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	x := &exchange{upstream: u, request: r, header: r.Header}
	x.read()
	x.body = newSource(r, u.cluster.options.MaxBody, u.cluster.bodies)
	if x.body == nil && r.Body != nil {
		_ = r.Body.Close() // it is empty
	}
	u.cluster.repeats.earn()
	res, err := x.run(r.Context())
	if x.body.finish(res != nil) {
		u.cluster.running.Go(func() { _ = x.body.inner.Close() }) // it may wait for a Read, which the answer must not
	}
	return res, err
}

// read takes what the headers say of the request, and the marks out of them.
func (x *exchange) read() {
	h := x.header
	x.once, x.poll = h.Get(httpx.HeaderOnce) != "", h.Get(httpx.HeaderPoll) != ""
	x.idempotent = h.Get(httpx.HeaderIdempotent) != ""
	if x.once || x.poll || x.idempotent {
		x.header = maps.Clone(h)
		delete(x.header, httpx.HeaderOnce)
		delete(x.header, httpx.HeaderIdempotent)
		delete(x.header, httpx.HeaderPoll)
	}
	if key, err := url.PathUnescape(h.Get(httpx.HeaderKey)); err == nil {
		x.key = key
	}
	switch x.request.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, "":
		x.idempotent = true
	}
	x.idempotent = x.idempotent && !x.once
}

// run makes attempts until one is answered or no other may be made.
func (x *exchange) run(ctx context.Context) (*http.Response, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		changed := x.cluster.dir.Changed()
		instance, ok := x.choose()
		if !ok {
			if err := x.wait(ctx, changed); err != nil {
				return nil, err
			}
			continue
		}
		res, what, err := x.attempt(ctx, instance)
		if err == nil {
			return res, nil
		}
		x.err = err
		if !x.mayRepeat(ctx, what, instance) {
			return nil, x.failure()
		}
	}
}

// mayRepeat tells whether another attempt may follow, after a pause where one is due.
func (x *exchange) mayRepeat(ctx context.Context, what fate, instance registry.Instance) bool {
	m := x.cluster.metrics
	x.tried = append(x.tried, trial{key: instance.Key(), at: x.cluster.options.Now(), never: what == aborted})
	switch {
	case what == final, what != unheard && !x.idempotent, !x.body.again():
		return false
	case x.attempts >= maxAttempts, x.sends >= maxSends:
		return false
	case !x.cluster.repeats.take():
		m.exhausted.Inc()
		return false
	}
	if what == aborted {
		// It may be the request that it cannot stand: others are tried, but nobody is waited for.
		if _, ok := x.choose(); !ok {
			return false
		}
	}
	m.repeats.WithLabelValues(x.service).Inc()
	if what == unheard {
		return true
	}
	pause := time.NewTimer(time.Duration(x.cluster.options.IntN(int(backoff))))
	defer pause.Stop()
	select {
	case <-pause.C:
		return true
	case <-ctx.Done():
		x.err = ctx.Err()
		return false
	}
}

// failure is what the caller reads.
func (x *exchange) failure() error {
	if x.err == nil {
		return fmt.Errorf("reach %s: %w", x.service, ErrUnreachable)
	}
	return fmt.Errorf("reach %s: %w", x.service, x.err)
}

// choose returns the instance for the next attempt.
func (x *exchange) choose() (registry.Instance, bool) {
	dir := x.cluster.dir
	if x.key != "" {
		if owner, ok := dir.OwnerOf(x.service, x.key); ok && !x.skip(owner) && x.cluster.peers.of(owner).Passes() {
			return owner, true
		}
	}
	list := dir.Instances(x.service)
	if len(list) == 0 && x.local() != nil { // nobody has heard of this process yet
		list = []registry.Instance{{Service: x.service, BootID: x.cluster.options.Self}}
	}
	return x.cluster.peers.pick(list, x.skip)
}

// skip tells whether an instance is not to be tried now.
func (x *exchange) skip(i registry.Instance) bool {
	if !x.desperate && x.cluster.dir.IsDown(i, registry.PortHTTP) {
		return true
	}
	if i.HTTP == "" && !x.isLocal(i) || x.serves != nil && !x.serves(i) {
		return true
	}
	for _, t := range x.tried {
		if t.key == i.Key() && (t.never || x.cluster.options.Now().Sub(t.at) < again) {
			return true
		}
	}
	return false
}

func (x *exchange) isLocal(i registry.Instance) bool {
	return x.cluster.options.Self != "" && i.BootID == x.cluster.options.Self && x.local() != nil
}

func (x *exchange) local() http.Handler {
	if x.cluster.options.Local == nil {
		return nil
	}
	return x.cluster.options.Local(x.service)
}

// wait waits for an instance that can be tried: nil says to look again.
func (x *exchange) wait(ctx context.Context, changed <-chan struct{}) error {
	c := x.cluster
	if x.waited >= c.options.Wait {
		if x.desperate {
			return x.failure()
		}
		x.desperate = true // better than giving up
		return nil
	}
	select {
	case c.waiting <- struct{}{}:
	default:
		return fmt.Errorf("reach %s: too many requests wait: %w", x.service, errors.Join(ErrUnreachable, x.err))
	}
	c.metrics.waiting.Inc()
	defer func() {
		<-c.waiting
		c.metrics.waiting.Dec()
	}()
	began := time.Now()
	timer := time.NewTimer(look)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	x.waited += time.Since(began)
	return nil
}
