package live

import (
	"sync"
	"time"
)

// clock gives stamps to what has no log. A stamp is a time in milliseconds; what is stamped after a reader has read the
// clock has a greater stamp than what the reader got.
type clock struct {
	now  func() time.Time
	mu   sync.Mutex
	last int64 // the greatest stamp given
	seen int64 // the greatest value read
}

// read returns the present: everything that was stamped so far is at or before it.
func (c *clock) read() int64 {
	t := c.now().UnixMilli()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = max(c.seen, c.last, t)
	return c.seen
}

// stamp returns a stamp that is greater than all that was read.
func (c *clock) stamp() int64 {
	t := c.now().UnixMilli()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last, c.seen+1, t)
	return c.last
}
