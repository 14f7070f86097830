package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/obs"
	"hongyan/service/gateway"
)

// registryAdminDefault is where a node of the registry tells of itself unless told otherwise: next to the servers' own.
const registryAdminDefault = "localhost:9007"

var (
	errNotYet   = errors.New("it starts, or waits for most of the nodes")
	errNoLeader = errors.New("it has no leader: most of the nodes are away")
)

// registryAdmin is what monitoring reads of a node of the registry.
type registryAdmin struct {
	health   obs.Health
	metrics  *prometheus.Registry
	listener *gateway.Listener // nil for none
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// startRegistryAdmin opens the port and serves it until close: a node may wait long for others, and says so meanwhile.
func startRegistryAdmin(ctx context.Context, cfg RegistryServerConfig) (*registryAdmin, error) {
	boot, err := NewBootID(rand.Reader)
	if err != nil {
		return nil, err
	}
	a := &registryAdmin{metrics: prometheus.NewRegistry()}
	obs.RegisterProcess(a.metrics, obs.Identity{Service: "registry", BootID: boot, Version: cfg.Version})
	if cfg.AdminListen == "" {
		return a, nil
	}
	handler := withToken(obs.AdminHandler(&a.health, prometheus.Gatherers{a.metrics, etcdMetrics()}), cfg.AdminToken, cfg.AdminOpen)
	listener := gateway.NewListener("admin listener", handler, nil)
	open, err := openAdmin(ctx, listener, cfg.AdminListen, registryAdminDefault)
	if err != nil {
		return nil, fmt.Errorf("admin listener: %w", err)
	}
	if !open {
		return a, nil
	}
	a.listener = listener
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stop = stop
	a.running.Go(func() {
		if err := listener.Run(serving, serving); err != nil { // without a drain
			logx.Errorf("no metrics and health any more: %v", err)
		}
	})
	return a, nil
}

func (a *registryAdmin) close() {
	if a.stop != nil {
		a.stop()
	}
	a.running.Wait()
}

// etcdMetrics are those that etcd, which registers them for the whole process, has of itself.
func etcdMetrics() prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		all, err := prometheus.DefaultGatherer.Gather()
		return slices.DeleteFunc(all, func(f *dto.MetricFamily) bool { return !strings.HasPrefix(f.GetName(), "etcd_") }), err
	})
}
