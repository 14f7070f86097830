package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/registry"
)

// registerTimeout is how long registering and deregistering may hold up starting and stopping. What the registry has not
// taken by then it takes when it is there again.
const registerTimeout = 2 * time.Second

// Register lets requests in to each service when it is ready, and registers it; it returns when all are, or when ctx ends.
// Services do not wait for each other. A registry that is away holds it up by two seconds after the last of them is ready.
// One that awaits services of other processes is registered as starting: Settle goes on.
func (c *Cluster) Register(ctx context.Context) error {
	c.records = c.describe()
	c.expect()
	registering, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(c.members))
	var members sync.WaitGroup
	for i, m := range c.members {
		members.Go(func() {
			err := c.register(registering, m, &c.records[i])
			if err != nil && registering.Err() == nil {
				errs[i] = err
				cancel() // the others may never be ready
			}
		})
	}
	members.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

// describe returns the records of the services that start.
func (c *Cluster) describe() []registry.Instance {
	admin := c.adminAddress()
	var records []registry.Instance
	for _, m := range c.members {
		r := registry.Instance{
			Service: m.Name, BootID: c.deps.BootID, Version: c.deps.Version, Zone: c.cfg.Zone, Weight: c.cfg.Weight,
			Started: c.started, State: registry.Starting, Admin: admin,
		}
		c.network.address(m.Name, &r)
		if m.Public != nil {
			r.HTTP = c.cfg.public(m.Public())
		}
		records = append(records, r)
	}
	return records
}

// adminAddress is where monitoring reaches this process; empty where only this machine does, unless the others are on it.
func (c *Cluster) adminAddress() string {
	if c.deps.Admin == nil {
		return ""
	}
	address := c.cfg.public(c.deps.Admin())
	host, _, _ := net.SplitHostPort(address) // public made it
	if listen, _, _ := net.SplitHostPort(c.cfg.Listen); IsLoopback(host) && !IsLoopback(listen) {
		return ""
	}
	return address
}

// register waits until a service is ready, lets requests in, and only then registers it: who hears of it may come at once.
func (c *Cluster) register(ctx context.Context, m Member, record *registry.Instance) error {
	if m.Ready != nil {
		select {
		case <-m.Ready: // no need to say that it starts
		default:
			if err := c.announce(ctx, *record); err != nil {
				return err
			}
		}
		select {
		case <-m.Ready:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.network.admit(m.Name)
	if len(c.elsewhere(m)) > 0 {
		return c.announce(ctx, *record)
	}
	record.State = registry.Ready
	return c.put(ctx, *record)
}

// announce says that a service starts, and does not wait until that is known: it may be ready first.
func (c *Cluster) announce(ctx context.Context, record registry.Instance) error {
	atOnce, cancel := context.WithCancel(ctx)
	cancel()
	if err := c.registry.Put(atOnce, record); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("announce %s: %w", record.Key(), err)
	}
	return nil
}

// put registers a record; a registry that is away gets it later.
func (c *Cluster) put(ctx context.Context, record registry.Instance) error {
	limited, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	err := c.registry.Put(limited, record)
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		logx.WithContext(ctx).Errorf("the registry is away: %s is registered when it is back", record.Key())
		return nil
	}
	return fmt.Errorf("register %s: %w", record.Key(), err)
}

// Deregister takes the services out of the registry: nobody who hears of it sends anything new.
func (c *Cluster) Deregister(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	var removing sync.WaitGroup
	for _, record := range c.records {
		removing.Go(func() {
			if err := c.registry.Remove(ctx, record); err != nil {
				logx.WithContext(ctx).Infof("deregister %s: %v", record.Key(), err)
			}
		})
	}
	removing.Wait()
}
