package hop

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"hongyan/platform/httpx"
	"hongyan/platform/registry"
)

// probe asks an instance on a connection of its own. Any answer shows that it lives, unless it says that it
// does not, or is another. A service of the program says who it is; one that is not part of it may.
func (c *Cluster) probe(ctx context.Context, i registry.Instance) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	k := c.transport.kindOf(i)
	conn, err := k.transport.NewClientConn(ctx, k.scheme, i.HTTP)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.scheme+"://"+i.HTTP+httpx.HealthPath, http.NoBody)
	if err != nil {
		return false
	}
	res, err := conn.RoundTrip(r)
	if err != nil {
		return false
	}
	_ = res.Body.Close() // the header says enough
	name := res.Header.Get(httpx.HeaderInstance)
	return res.StatusCode < http.StatusInternalServerError && (name == i.Key() || name == "" && len(i.Routes) > 0)
}

// registered tells whether the directory has an instance, at the same address.
func (c *Cluster) registered(i registry.Instance) bool {
	for _, known := range c.dir.All(i.Service) {
		if known.BootID == i.BootID && known.HTTP == i.HTTP {
			return true
		}
	}
	return false
}

// concerns tells whether it matters that an instance hangs: it is registered at this address, or not at all and requests
// wait for it on connections without pings.
func (c *Cluster) concerns(i registry.Instance) bool {
	for _, known := range c.dir.All(i.Service) {
		if known.BootID == i.BootID {
			return known.HTTP == i.HTTP
		}
	}
	c.mu.Lock()
	p := c.pools[c.poolKey(i)]
	c.mu.Unlock()
	return p != nil && p.blind()
}

// unheard returns the instances of which neither pings nor the registry would tell that they hang or are gone: requests
// wait for them on connections without pings, or their service is none of the program and not in the registry any more, whether
// or not it was ever asked for anything: its routes go with it.
func (c *Cluster) unheard() []registry.Instance {
	c.mu.Lock()
	pools := slices.Collect(maps.Values(c.pools))
	c.mu.Unlock()
	var list []registry.Instance
	for _, p := range pools {
		if p.addr != "" && p.blind() { // without an address it is in this process
			list = append(list, p.instance)
		}
	}
	for _, service := range c.dir.Services() {
		if c.dir.Named(service) {
			continue
		}
		for _, i := range c.dir.All(service) {
			if i.HTTP != "" && len(i.Routes) > 0 {
				list = append(list, i)
			}
		}
	}
	return list
}

// cut ends the requests that wait for an instance which does not answer, where no ping does.
func (c *Cluster) cut(i registry.Instance) {
	c.mu.Lock()
	p := c.pools[c.poolKey(i)]
	c.mu.Unlock()
	if p != nil {
		p.cut()
	}
}

// prune closes connections that nobody needs: idle ones, and those to instances that left.
func (c *Cluster) prune() {
	c.peers.retain(c.registered)
	wanted := map[string]bool{}
	for _, service := range c.dir.Services() {
		for _, i := range c.dir.All(service) {
			wanted[c.poolKey(i)] = true
		}
	}
	var gone, kept []*pool
	c.mu.Lock()
	for key, p := range c.pools {
		if wanted[key] || !p.idle() {
			kept = append(kept, p)
			continue
		}
		delete(c.pools, key)
		gone = append(gone, p)
	}
	c.mu.Unlock()
	for _, p := range gone {
		c.running.Go(p.close) // a connection that is being made to a hung instance takes seconds to give up
	}
	for _, p := range kept {
		p.prune()
	}
}
