package cluster

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/registry"
)

// near is the registry of a process without credentials: it does not see instances on other machines, to which this
// process would have to speak in the clear, whoever answers there.
type near struct {
	registry.Registry
	// edge is the service whose HTTP address is for clients.
	edge    string
	log     *logx.LessLogger
	running sync.WaitGroup
}

func newNear(r registry.Registry, edge string) *near {
	return &near{Registry: r, edge: edge, log: logx.NewLessLogger(60_000)}
}

// Watch is Watch without the instances on other machines, which the log names once a minute at most.
func (n *near) Watch(ctx context.Context) (<-chan []registry.Instance, error) {
	all, err := n.Registry.Watch(ctx)
	if err != nil {
		return nil, err
	}
	lists := make(chan []registry.Instance, 1)
	n.running.Go(func() {
		defer close(lists)
		for list := range all {
			list = n.those(list)
			select {
			case <-lists: // an older list that nobody has read
			default:
			}
			lists <- list
		}
	})
	return lists, nil
}

func (n *near) those(list []registry.Instance) []registry.Instance {
	var far []string
	list = slices.DeleteFunc(list, func(i registry.Instance) bool {
		addresses := []string{i.GRPC}
		if i.Service != n.edge {
			addresses = append(addresses, i.HTTP)
		}
		for _, address := range addresses {
			if !isNear(address) {
				far = append(far, i.Key()+" at "+address)
				return true
			}
		}
		return false
	})
	if len(far) > 0 {
		n.log.Errorf("the registry names instances on other machines, which get nothing from here: without cluster.secret, or "+
			"cluster.tls_ca, tls_cert and tls_key, whatever is sent there is in the clear: %s", strings.Join(far, ", "))
	}
	return list
}

// isNear tells whether an address is on this machine, or is none.
func isNear(address string) bool {
	if address == "" {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	return err == nil && IsLoopback(host)
}

// Close closes the registry and waits for all watches.
func (n *near) Close() error {
	err := n.Registry.Close()
	n.running.Wait()
	return err
}
