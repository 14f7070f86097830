package hop

import "hongyan/platform/registry"

// Prune closes connections that nobody needs, as Run does from time to time.
func (c *Cluster) Prune() { c.prune() }

// Connecting tells, now and later, whether a connection to an instance is being made.
func (c *Cluster) Connecting(i registry.Instance) func() bool {
	p := c.pool(i)
	return func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.count > len(p.conns)
	}
}
