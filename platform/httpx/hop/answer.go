package hop

import (
	"context"
	"io"
	"sync"
	"time"

	"hongyan/platform/balance"
	"hongyan/platform/registry"
)

// answer is the body of an answer. The call lasts until it is closed: a large answer is load too.
type answer struct {
	io.ReadCloser
	exchange *exchange
	instance registry.Instance
	call     balance.Call
	ctx      context.Context //nolint:containedctx // the request's, as the answer's body has it
	header   time.Duration   // until the answer's header came
	broken   bool
	once     sync.Once
}

// readerSlack is how much longer than its header an answer may take for its time to count: how fast the client reads says
// nothing about the instance.
const readerSlack = 100 * time.Millisecond

// Read reads on.
func (a *answer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err != nil && err != io.EOF && a.ctx.Err() == nil {
		a.broken = true
	}
	return n, err
}

// Close ends the call.
func (a *answer) Close() error {
	a.once.Do(func() {
		outcome := balance.Answered
		if a.broken {
			outcome = balance.Failed
		}
		a.exchange.cluster.metrics.attempt(a.exchange.service, outcome)
		switch {
		case a.broken:
		case a.call.Since() > a.header+readerSlack:
			outcome = balance.Ignored
		}
		a.exchange.end(a.instance, a.call, outcome)
	})
	return a.ReadCloser.Close()
}
