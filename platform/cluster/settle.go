package cluster

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/registry"
)

// elsewhere are the services that a member awaits from other processes.
func (c *Cluster) elsewhere(m Member) []string {
	return slices.DeleteFunc(slices.Clone(m.Awaits), func(service string) bool {
		return slices.ContainsFunc(c.members, func(own Member) bool { return own.Name == service })
	})
}

// expect begins to await what the members do.
func (c *Cluster) expect() {
	var all []string
	for _, m := range c.members {
		all = append(all, c.elsewhere(m)...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	c.awaited.Store(&all)
}

// Awaited are the services that a service of this process awaits and that were never there; none once Settle has ended.
func (c *Cluster) Awaited() []string {
	if all := c.awaited.Load(); all != nil {
		return *all
	}
	return nil
}

// Settle waits until each service that is awaited was known with an instance that is ready, once: what the registry loses
// later changes nothing. It then registers as ready who awaited them. Services that are missing for a time after another one
// was found are taken for not deployed; as long as there is none, which is so while the registry is away, it waits. Register
// comes before.
func (c *Cluster) Settle(ctx context.Context, patience time.Duration) error {
	if len(c.Awaited()) > 0 {
		if err := c.await(ctx, patience); err != nil {
			return err
		}
	}
	for i, m := range c.members {
		if len(c.elsewhere(m)) == 0 {
			continue
		}
		c.records[i].State = registry.Ready
		if err := c.put(ctx, c.records[i]); err != nil {
			return err
		}
	}
	c.awaited.Store(nil)
	return nil
}

// await waits for the services that are awaited. They stay Awaited until they are registered as well.
func (c *Cluster) await(ctx context.Context, patience time.Duration) error {
	var late <-chan time.Time
	all := c.Awaited()
	for missing := all; ; {
		changed := c.directory.Changed()
		missing = slices.DeleteFunc(slices.Clone(missing), c.isThere)
		if len(missing) == 0 {
			return nil
		}
		c.awaited.Store(&missing)
		if late == nil && slices.ContainsFunc(c.directory.Services(), c.found) {
			timer := time.NewTimer(patience)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-changed:
		case <-late:
			logx.WithContext(ctx).Errorf("take requests without %s, which nobody has registered for %s",
				strings.Join(missing, ", "), patience)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// isThere tells whether a service has an instance that is ready.
func (c *Cluster) isThere(service string) bool { return len(c.directory.Instances(service)) > 0 }

// found tells whether a service is there and some member awaits it, be it of this process.
func (c *Cluster) found(service string) bool {
	return c.isThere(service) && slices.ContainsFunc(c.members, func(m Member) bool { return slices.Contains(m.Awaits, service) })
}
