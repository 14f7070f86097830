package hop

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"

	"hongyan/platform/balance"
	"hongyan/platform/httpx"
	"hongyan/platform/registry"
)

// attempt sends the request to an instance once. Where the error is not nil, the fate says what may follow.
func (x *exchange) attempt(ctx context.Context, i registry.Instance) (*http.Response, fate, error) {
	body, ok := x.body.open()
	if !ok {
		return nil, final, errors.New("the body cannot be sent again")
	}
	x.attempts++
	call := x.cluster.peers.of(i).Begin(x.poll)
	res, what, err := x.send(ctx, i, body)
	if err != nil {
		outcome := balance.Failed
		if errors.Is(err, errRefused) || what == final && !x.tooSlow(ctx, call) {
			outcome = balance.Ignored
		}
		x.end(i, call, outcome)
		x.cluster.metrics.attempt(x.service, outcome)
		return nil, what, err
	}
	res.Request = x.request
	httpx.StripHop(res.Header)
	res.Body = &answer{ReadCloser: res.Body, exchange: x, instance: i, call: call, header: call.Since(), ctx: ctx}
	return res, final, nil
}

// end takes the result of a call to an instance.
func (x *exchange) end(i registry.Instance, call balance.Call, outcome balance.Outcome) {
	if call.End(outcome) {
		x.cluster.dir.Avoid(i) // so that all requests of this process find the same new owner for their keys
	}
}

// tooSlow tells whether a request without an answer ended because its time was over, and the instance is to blame: not
// the client, who took long to send, nor a poll, which waits for news.
func (x *exchange) tooSlow(ctx context.Context, call balance.Call) bool {
	return errors.Is(ctx.Err(), context.DeadlineExceeded) && !x.poll && call.Since() >= balance.Slow && x.body.whole()
}

// send sends the request and judges what came of it.
func (x *exchange) send(ctx context.Context, i registry.Instance, body io.ReadCloser) (*http.Response, fate, error) {
	out := *x.request
	out.Body, out.GetBody, out.Header = body, nil, x.header
	if x.isLocal(i) {
		x.sends++
		res, err := httpx.Local(x.local()).RoundTrip(&out)
		if err != nil {
			return nil, x.judge(ctx, aborted), err
		}
		return x.heard(ctx, i, res)
	}
	p := x.cluster.pool(i)
	if p == nil {
		return nil, final, errPoolClosed
	}
	c, err := p.acquire(ctx, x.once)
	if err != nil {
		_ = body.Close() // nobody else does
		x.cluster.failed(p, i, ctx.Err() == nil && !errors.Is(err, errPoolClosed))
		return nil, x.judge(ctx, unheard), err
	}
	address := *x.request.URL
	address.Scheme, address.Host = p.kind.scheme, i.HTTP
	out.URL = &address
	var w watcher
	x.sends++
	res, err := c.RoundTrip(out.WithContext(httptrace.WithClientTrace(ctx, w.trace())))
	if err == nil {
		res.Request = x.request
		err = x.readWhole(res)
	}
	if err != nil {
		what := x.judge(ctx, w.fateOf(err))
		x.cluster.failed(p, i, what == unheard || what == sent)
		return nil, what, err
	}
	return x.heard(ctx, i, res)
}

// heard tells answers from refusals.
func (x *exchange) heard(ctx context.Context, i registry.Instance, res *http.Response) (*http.Response, fate, error) {
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get(httpx.HeaderRefused) == "" {
		httpx.StripInternal(res.Header)
		return res, final, nil
	}
	x.drop(res) // nobody reads why
	x.sends--
	if p := x.cluster.pool(i); p != nil && p.blame() {
		x.cluster.dir.Avoid(i) // it is alive: nobody need ask
	}
	return nil, x.judge(ctx, unheard), errRefused
}

// judge makes the fate final where the failure is not the instance's.
func (x *exchange) judge(ctx context.Context, what fate) fate {
	if err := x.body.failure(); err != nil || ctx.Err() != nil {
		return final
	}
	return what
}
