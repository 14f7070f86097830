package harness

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// Node is one `hongyan serve` of a cluster.
type Node struct {
	*Process
	// Targets are the services that it runs.
	Targets []string
	// Remote says that it runs on the other host.
	Remote bool
	// Registry, Bus and Database are its ways there; nil where it has none of its own.
	Registry, Bus, Database *Link
	// Listen is where clients reach its gateway, if it has one.
	Listen string

	admin string
	// spare says that Listen is a place that the balancer knows.
	spare bool
}

// Runs tells whether it runs a service.
func (n *Node) Runs(service string) bool {
	for _, t := range n.Targets {
		if t == service || t == "all" {
			return true
		}
	}
	return false
}

// Ready tells whether it takes work.
func (n *Node) Ready(ctx context.Context) bool { return answers(ctx, "http://"+n.admin+"/readyz") }

// Up starts it and waits until it is ready.
func (n *Node) Up(ctx context.Context) error {
	if err := n.Start(); err != nil {
		return err
	}
	return n.AwaitReady(ctx)
}

// AwaitReady waits until it is ready.
func (n *Node) AwaitReady(ctx context.Context) error { return n.await(ctx, "it was ready", n.Ready) }

// Status is what a node tells of the deployment.
type Status struct {
	// BootID is that of the node that was asked.
	BootID string
	// Instances are those that it knows.
	Instances []Instance
	// Calls counts what was sent to each instance, by all processes since they started, by service and boot id.
	Calls map[[2]string]int64
}

// Instance is one service in one process, as a node sees it.
type Instance struct {
	Service, BootID, State string
	// Down tells that it does not answer.
	Down bool
}

// Ready counts the instances of a service that take calls.
func (s Status) Ready(service string) int {
	n := 0
	for _, i := range s.Instances {
		if i.Service == service && i.State == "ready" && !i.Down {
			n++
		}
	}
	return n
}

// Has tells whether a process is registered and takes calls for a service.
func (s Status) Has(service, bootID string) bool {
	for _, i := range s.Instances {
		if i.Service == service && i.BootID == bootID && i.State == "ready" && !i.Down {
			return true
		}
	}
	return false
}

// Status asks it for what it knows of the deployment.
func (n *Node) Status(ctx context.Context) (Status, error) {
	status := Status{Calls: map[[2]string]int64{}}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.admin+"/topology.json", nil)
	if err != nil {
		return status, fmt.Errorf("ask %s: %w", n.Name, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return status, fmt.Errorf("ask %s: %w", n.Name, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return status, fmt.Errorf("ask %s: %w", n.Name, err)
	}
	answer := gjson.ParseBytes(body)
	status.BootID = answer.Get("asked").Str
	for _, i := range answer.Get("instances").Array() {
		status.Instances = append(status.Instances, Instance{
			Service: i.Get("service").Str, BootID: i.Get("bootId").Str, State: i.Get("state").Str, Down: i.Get("down").Bool(),
		})
	}
	for _, p := range answer.Get("processes").Array() {
		for _, t := range p.Get("status.traffic").Array() {
			status.Calls[[2]string{t.Get("service").Str, t.Get("bootId").Str}] += t.Get("calls").Int()
		}
	}
	return status, nil
}

// Requests counts what clients have asked of its gateway since it started.
func (n *Node) Requests(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.admin+"/metrics", nil)
	if err != nil {
		return 0, fmt.Errorf("ask %s for its metrics: %w", n.Name, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask %s for its metrics: %w", n.Name, err)
	}
	defer func() { _ = resp.Body.Close() }()
	var count float64
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if i := strings.LastIndexByte(lines.Text(), ' '); i > 0 && strings.HasPrefix(lines.Text(), "hongyan_gateway_requests_total") {
			v, _ := strconv.ParseFloat(lines.Text()[i+1:], 64) // Prometheus writes nothing else
			count += v
		}
	}
	return int64(count), lines.Err()
}
