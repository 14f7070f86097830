package cluster

import (
	"context"
	"time"
)

// HandOver is called before this process leaves. It waits until whoever sends requests from outside has had time to find
// another instance of each service that takes them: one that has been ready for findTime. Load balancers look every half second or
// so, and without this would know of nobody for a moment when one process after the other is restarted quickly. It waits
// twice as long at most, and once where no other instance is there: one that has just come may not be known yet. A process
// that is alone does not wait.
func (c *Cluster) HandOver(ctx context.Context, findTime time.Duration) {
	if !c.cfg.Shared() {
		return
	}
	began := c.deps.Clock()
	ctx, cancel := context.WithTimeout(ctx, 2*findTime)
	defer cancel()
	for _, m := range c.members {
		for m.Public != nil && ctx.Err() == nil {
			changed := c.directory.Changed()
			remaining := findTime - c.deps.Clock().Sub(c.readySince(m.Name, began))
			if remaining <= 0 {
				break
			}
			c.pause(ctx, remaining, changed)
		}
	}
}

// readySince returns since when some other instance of a service has been ready, or what is given where there is none.
func (c *Cluster) readySince(service string, none time.Time) time.Time {
	var first time.Time
	for _, i := range c.directory.Instances(service) {
		since := c.directory.ReadySince(i)
		if i.BootID != c.deps.BootID && (first.IsZero() || since.Before(first)) {
			first = since
		}
	}
	if first.IsZero() {
		return none
	}
	return first
}

// pause waits for a time, or until something changes or ctx ends.
func (c *Cluster) pause(ctx context.Context, d time.Duration, changed <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-ctx.Done():
	}
}
