package cluster

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	nodepb "hongyan/api/node"
	"hongyan/platform/httpx"
	"hongyan/platform/registry"
	"hongyan/platform/rpc"
)

// alone is the network of a process that has all services in itself: calls and requests are handed over as they are.
type alone struct {
	connections *rpc.Conns
	local       *rpc.Local
	handlers    map[string]http.Handler
}

func newAlone(opts rpc.Options) *alone {
	conns, local := rpc.NewLocal(opts)
	return &alone{connections: conns, local: local, handlers: map[string]http.Handler{}}
}

func (a *alone) conns() *rpc.Conns { return a.connections }

func (a *alone) add(m Member) error {
	a.local.Add(m.RPC)
	if m.Handler != nil {
		a.handlers[m.Name] = m.Handler
	}
	return nil
}

func (a *alone) upstream(service string, _ func(registry.Instance) bool) (http.RoundTripper, error) {
	h := a.handlers[service]
	if h == nil {
		return nil, errors.New("this process does not have it, and there are no others")
	}
	return httpx.Local(h), nil
}

func (a *alone) listen(context.Context) error { return nil }

func (a *alone) address(string, *registry.Instance) {}

func (a *alone) admit(string) {}

func (a *alone) traffic() []*nodepb.Traffic {
	var all []*nodepb.Traffic
	stats := a.connections.Traffic()
	for _, service := range slices.Sorted(maps.Keys(stats)) {
		if s := stats[service]; s.Calls > 0 {
			all = append(all, &nodepb.Traffic{
				Service: service, Kind: "rpc", Calls: s.Calls, Errors: s.Errors, LatencyUs: s.Latency.Microseconds(),
			})
		}
	}
	return all
}

func (a *alone) lastSeen(registry.Instance) time.Time { return time.Time{} }

func (a *alone) run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (a *alone) serve(ctx, _ context.Context) error {
	<-ctx.Done()
	return nil
}

func (a *alone) close() error { return nil }
