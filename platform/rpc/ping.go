package rpc

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"hongyan/platform/probe"
	"hongyan/platform/registry"
)

// ping asks an instance for its health over the connection that calls take. Any answer is a sign of life. One that says that
// it serves no more drains, whatever the registry, which may be away, has of it: it gets nothing new.
func (c *Cluster) ping(ctx context.Context, i registry.Instance) error {
	s, err := c.callee(i.Service)
	if err != nil {
		return probe.ErrNoWay // this process closes
	}
	a := &attempt{pinned: i.BootID, ping: true}
	var health healthpb.HealthCheckResponse
	err = s.cc.Invoke(a.in(ctx), healthpb.Health_Check_FullMethodName, &healthpb.HealthCheckRequest{}, &health)
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return fmt.Errorf("ping %s: %w", i.Key(), err)
	}
	if err == nil && health.GetStatus() == healthpb.HealthCheckResponse_NOT_SERVING {
		c.dir.Avoid(i)
	}
	return nil
}

// heard returns when an instance last answered anything.
func (c *Cluster) heard(i registry.Instance) time.Time {
	if s := c.known(i.Service); s != nil {
		if p := s.peer(i.BootID); p != nil {
			if at := p.heard.Load(); at != 0 {
				return time.Unix(0, at)
			}
		}
	}
	return time.Time{}
}

// busy tells whether calls may wait for an instance that has left.
func (c *Cluster) busy(i registry.Instance) bool {
	s := c.known(i.Service)
	return s != nil && i.GRPC != "" && s.peer(i.BootID) != nil
}

// cut closes what is connected to an instance that does not answer.
func (c *Cluster) cut(i registry.Instance) {
	if s := c.known(i.Service); s != nil {
		if p := s.peer(i.BootID); p != nil {
			p.cut()
		}
	}
}
