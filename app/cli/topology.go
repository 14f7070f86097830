package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	nodepb "hongyan/api/node"
	"hongyan/app"
)

func topologyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topology",
		Short: "Show all services and instances of the deployment, and who calls whom",
		Long: `Show all services and instances of the deployment, and who calls whom, as the server that runs on the data directory
sees them. Rates are counted over --interval. The page /topology of the admin listener shows the same live.`,
		Args: cobra.NoArgs,
	}
	interval := cmd.Flags().Duration("interval", time.Second, "over how long calls are counted")
	asJSON := cmd.Flags().Bool("json", false, "print everything once, as JSON for programs")
	return withAdmin(cmd, func(ctx context.Context, cmd *cobra.Command, server *app.Admin, _ []string) error {
		first, err := server.Topology(ctx, &nodepb.TopologyRequest{})
		if err != nil {
			return err
		}
		if *asJSON {
			raw, err := protojson.MarshalOptions{Multiline: true, EmitUnpopulated: true}.Marshal(first)
			if err != nil {
				return err
			}
			return say(cmd, "%s", raw)
		}
		select {
		case <-time.After(max(*interval, 100*time.Millisecond)):
		case <-ctx.Done():
			return ctx.Err()
		}
		second, err := server.Topology(ctx, &nodepb.TopologyRequest{})
		if err != nil {
			return err
		}
		return printTopology(cmd.OutOrStdout(), first, second, time.Now())
	})
}

// edge is what one process sends to one instance.
type edge struct{ caller, service, callee, kind string }

// flow is how much that is.
type flow struct {
	calls, errors uint64
	perSecond     float64
	failing       float64
	latency       time.Duration
}

// flows counts the calls between two looks.
func flows(first, second *nodepb.TopologyResponse) map[edge]flow {
	count := func(t *nodepb.TopologyResponse, f func(e edge, timeMs int64, n *nodepb.Traffic)) {
		for _, p := range t.GetProcesses() {
			for _, n := range p.GetStatus().GetTraffic() {
				f(edge{p.GetBootId(), n.GetService(), n.GetBootId(), n.GetKind()}, p.GetStatus().GetTimeMs(), n)
			}
		}
	}
	type before struct {
		at            int64
		calls, errors uint64
	}
	known := map[edge]before{}
	count(first, func(e edge, at int64, n *nodepb.Traffic) { known[e] = before{at, n.GetCalls(), n.GetErrors()} })
	all := map[edge]flow{}
	count(second, func(e edge, at int64, n *nodepb.Traffic) {
		f := flow{calls: n.GetCalls(), errors: n.GetErrors(), latency: time.Duration(n.GetLatencyUs()) * time.Microsecond}
		if b, ok := known[e]; ok && at > b.at && f.calls >= b.calls && f.errors >= b.errors {
			seconds := float64(at-b.at) / 1000
			f.perSecond, f.failing = float64(f.calls-b.calls)/seconds, float64(f.errors-b.errors)/seconds
		}
		all[e] = f
	})
	return all
}

func printTopology(out io.Writer, first, second *nodepb.TopologyResponse, now time.Time) error {
	all := flows(first, second)
	names := map[string]string{}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "SERVICE\tINSTANCE\tSTATE\tVERSION\tZONE\tHTTP\tGRPC\tUP\tHEARTBEAT\tREQUESTS/S\tLATENCY")
	for _, i := range second.GetInstances() {
		names[i.GetBootId()] = strings.TrimPrefix(names[i.GetBootId()]+"+"+i.GetService(), "+")
		state, heartbeat := i.GetState(), "never"
		if i.GetDown() {
			state = "down"
		}
		if age := i.GetHeartbeatAgeMs(); age >= 0 {
			heartbeat = (time.Duration(age) * time.Millisecond).String()
		}
		perSecond, latency := served(all, i)
		up := "?"
		if ms := i.GetStartedMs(); ms > 0 {
			up = now.Sub(time.UnixMilli(ms)).Round(time.Second).String()
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.1f\t%s\n", i.GetService(), short(i.GetBootId()), state,
			plain(i.GetVersion()), plain(i.GetZone()), plain(i.GetHttp()), plain(i.GetGrpc()), up, heartbeat, perSecond, rounded(latency))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out)
	_, _ = fmt.Fprintln(table, "CALLER\tCALLEE\tKIND\tCALLS/S\tERRORS/S\tLATENCY\tCALLS")
	for _, e := range sortedEdges(all) {
		f, caller := all[e], names[e.caller]+" "+short(e.caller)
		if e.kind == "public" {
			caller = "clients"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s %s\t%s\t%.1f\t%.1f\t%s\t%d\n", caller, e.service, short(e.callee), e.kind,
			f.perSecond, f.failing, rounded(f.latency), f.calls)
	}
	for _, p := range second.GetProcesses() {
		if p.GetError() != "" {
			_, _ = fmt.Fprintf(table, "%s %s: %s\n", names[p.GetBootId()], short(p.GetBootId()), p.GetError())
		}
	}
	return table.Flush()
}

// served sums up what all callers send to an instance.
func served(all map[edge]flow, i *nodepb.Instance) (perSecond float64, latency time.Duration) {
	var weighted float64
	for e, f := range all {
		if e.service == i.GetService() && e.callee == i.GetBootId() {
			perSecond += f.perSecond
			weighted += f.perSecond * float64(f.latency)
		}
	}
	if perSecond > 0 {
		latency = time.Duration(weighted / perSecond)
	}
	return perSecond, latency
}

func sortedEdges(all map[edge]flow) []edge {
	var edges []edge
	for e := range all {
		edges = append(edges, e)
	}
	slices.SortFunc(edges, func(a, b edge) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.caller, b.caller), cmp.Compare(a.service, b.service),
			cmp.Compare(a.callee, b.callee))
	})
	return edges
}

// plain is text of somebody's record as a terminal may show it: printable, and not longer than a cell.
func plain(text string) string {
	const most = 48
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return text
}

// short is enough of a boot id to tell it from others.
func short(bootID string) string { return bootID[:min(len(bootID), 8)] }

func rounded(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.Round(10 * time.Microsecond).String()
}
