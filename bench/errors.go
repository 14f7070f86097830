package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// errorCounter counts what failed, by what was done and how it failed.
type errorCounter struct {
	mu     sync.Mutex
	counts map[string]int
}

const maxErrorKinds = 50

func (c *errorCounter) add(what string, err error) {
	kind := fmt.Sprintf("%s: %s", what, errorKind(err))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	if _, ok := c.counts[kind]; !ok && len(c.counts) >= maxErrorKinds {
		kind = what + ": other"
	}
	c.counts[kind]++
}

func (c *errorCounter) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]int, len(c.counts))
	for k, n := range c.counts {
		out[k] = n
	}
	return out
}

func errorKind(err error) string {
	var e *APIError
	if errors.As(err, &e) {
		return fmt.Sprintf("%d %s", e.Status, e.Code)
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, fasthttp.ErrTimeout), errors.Is(err, fasthttp.ErrDialTimeout), os.IsTimeout(err):
		return "no answer in time"
	case errors.Is(err, fasthttp.ErrConnectionClosed), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection lost"
	}
	return err.Error()
}

const maxAttempts = 30

// retryAfter says whether and when a request that may be repeated is to be repeated: after 429, after 5xx, and when no
// answer came.
func retryAfter(err error, attempt int) (time.Duration, bool) {
	if err == nil || attempt >= maxAttempts || errors.Is(err, context.Canceled) {
		return 0, false
	}
	backoff := min(time.Duration(attempt)*100*time.Millisecond, 2*time.Second)
	var e *APIError
	if !errors.As(err, &e) {
		return backoff, true
	}
	if e.Status == 429 || e.Status >= 500 {
		return max(e.RetryAfter, backoff), true
	}
	return 0, false
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
