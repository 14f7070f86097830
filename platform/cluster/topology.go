package cluster

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	nodepb "hongyan/api/node"
	"hongyan/platform/registry"
)

// statusTimeout is how long a process may take to say what it does.
const statusTimeout = time.Second

// nodeServer tells what this process does: hongyan.node.v1.Node.
type nodeServer struct {
	nodepb.UnimplementedNodeServer
	cluster *Cluster
}

// Status is what this process has sent to others.
func (n nodeServer) Status(context.Context, *nodepb.StatusRequest) (*nodepb.StatusResponse, error) {
	return n.cluster.status(), nil
}

func (c *Cluster) status() *nodepb.StatusResponse {
	traffic := c.network.traffic()
	for _, m := range c.members {
		if m.Traffic != nil {
			traffic = append(traffic, m.Traffic()...)
		}
	}
	for _, t := range traffic {
		if t.BootId == "" {
			t.BootId = c.deps.BootID
		}
	}
	return &nodepb.StatusResponse{BootId: c.deps.BootID, TimeMs: c.deps.Clock().UnixMilli(), Traffic: traffic}
}

// topologyServer tells what the whole deployment is: hongyan.node.v1.Topology.
type topologyServer struct {
	nodepb.UnimplementedTopologyServer
	cluster *Cluster
}

// Topology asks all processes.
func (t topologyServer) Topology(ctx context.Context, _ *nodepb.TopologyRequest) (*nodepb.TopologyResponse, error) {
	return t.cluster.Topology(ctx), nil
}

// RegisterTopology offers the topology to administrators.
func (c *Cluster) RegisterTopology(reg grpc.ServiceRegistrar) {
	nodepb.RegisterTopologyServer(reg, topologyServer{cluster: c})
}

// Topology is what this process knows of the deployment, with what each process says of itself. A process that does not
// answer within a second is told with the reason.
func (c *Cluster) Topology(ctx context.Context) *nodepb.TopologyResponse {
	resp := &nodepb.TopologyResponse{Asked: c.deps.BootID}
	answers := map[string]*nodepb.StatusResponse{c.deps.BootID: c.status()}
	for _, status := range c.askAll(ctx) {
		answers[status.GetBootId()] = status
	}
	now, told := c.deps.Clock(), map[string]bool{}
	for _, service := range c.directory.Services() {
		for _, i := range c.directory.All(service) {
			status := answers[i.BootID]
			resp.Instances = append(resp.Instances, c.instance(i, status != nil, now))
			if told[i.BootID] {
				continue
			}
			told[i.BootID] = true
			p := &nodepb.Process{BootId: i.BootID, Status: status}
			if status == nil {
				p.Error = "it did not answer"
			}
			resp.Processes = append(resp.Processes, p)
		}
	}
	slices.SortFunc(resp.Processes, func(a, b *nodepb.Process) int { return cmp.Compare(a.BootId, b.BootId) })
	return resp
}

// instance tells of an instance; answered says that its process has just answered.
func (c *Cluster) instance(i registry.Instance, answered bool, now time.Time) *nodepb.Instance {
	age := int64(-1)
	switch seen := c.network.lastSeen(i); {
	case answered:
		age = 0
	case !seen.IsZero():
		age = max(now.Sub(seen).Milliseconds(), 0)
	}
	return &nodepb.Instance{
		Service: i.Service, BootId: i.BootID, Version: i.Version, Zone: i.Zone, State: string(i.State), Http: i.HTTP,
		Grpc: i.GRPC, Weight: int32(i.Weight), StartedMs: i.Started.UnixMilli(), HeartbeatAgeMs: age,
		Down: c.directory.IsDown(i),
	}
}

// askAll asks the processes of all services what they do, each once where that is known.
func (c *Cluster) askAll(ctx context.Context) []*nodepb.StatusResponse {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	var asking sync.WaitGroup
	var mu sync.Mutex
	var answers []*nodepb.StatusResponse
	covered := map[string]bool{c.deps.BootID: true}
	for _, service := range c.directory.Services() {
		if !slices.ContainsFunc(c.directory.All(service), func(i registry.Instance) bool { return i.GRPC != "" && !covered[i.BootID] }) {
			continue
		}
		for _, i := range c.directory.All(service) {
			covered[i.BootID] = true
		}
		for _, conn := range c.Conns().All(service) {
			asking.Go(func() {
				status, err := nodepb.NewNodeClient(conn).Status(ctx, &nodepb.StatusRequest{})
				if err != nil {
					return // told by its absence
				}
				mu.Lock()
				defer mu.Unlock()
				answers = append(answers, status)
			})
		}
	}
	asking.Wait()
	return answers
}
