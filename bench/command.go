package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// ErrWrong says that the run found something lost, doubled or reordered.
var ErrWrong = errors.New("the server was wrong: messages were lost, doubled or reordered")

// Command returns `hongyan bench`.
func Command() *cobra.Command {
	cfg := DefaultConfig()
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Put load on a Matrix homeserver and check what it delivers",
		Long: `Put load on any Matrix homeserver through its public API and check what it delivers.

Accounts are made, everybody is kept on /sync, and messages are sent as fast as they are accepted (or at --rate).
The report has the messages accepted and delivered a second, latencies, errors, and what was lost, doubled or
reordered; the exit status is 1 if anything was. With a server on this machine, its CPU time and memory too.

The server's rate limits must be off (hongyan serve --rate-limits off) and registration open, or a shared secret or
registration token given.`,
		Example: `  hongyan bench --users 200 --duration 30s
  hongyan bench --mode group --users 200 --senders 5
  hongyan bench --mode idle --users 1000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			report, err := Run(cmd.Context(), cfg, func(s string) { _, _ = fmt.Fprintln(cmd.ErrOrStderr(), s) })
			if err != nil {
				return err
			}
			if err := write(cmd.OutOrStdout(), report, asJSON); err != nil {
				return err
			}
			if !report.Verdict.OK() {
				return ErrWrong
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.URL, "url", cfg.URL, "base URL of the homeserver")
	f.StringVar((*string)(&cfg.Mode), "mode", string(cfg.Mode), "pairs, group, mixed or idle")
	f.IntVar(&cfg.Users, "users", cfg.Users, "number of accounts")
	f.IntVar(&cfg.Senders, "senders", cfg.Senders, "how many of them send, in a group")
	f.DurationVar(&cfg.Duration, "duration", cfg.Duration, "how long is measured")
	f.DurationVar(&cfg.Warmup, "warmup", cfg.Warmup, "how long is sent before that")
	f.DurationVar(&cfg.Drain, "drain", cfg.Drain, "longest wait for the last deliveries")
	f.Float64Var(&cfg.Rate, "rate", cfg.Rate, "messages a second in all; 0 for as many as are accepted")
	f.Float64Var(&cfg.Errands, "errands", cfg.Errands, "requests of other kinds a second beside the messages")
	f.IntVar(&cfg.BodyBytes, "body-bytes", cfg.BodyBytes, "length of a message's text")
	f.StringVar(&cfg.Prefix, "prefix", cfg.Prefix, "start of the accounts' names")
	f.StringVar(&cfg.SharedSecret, "registration-shared-secret", "", "register through /_synapse/admin/v1/register")
	f.StringVar(&cfg.RegistrationToken, "registration-token", "", "token for servers that ask for one")
	f.IntVar(&cfg.Setup, "setup-concurrency", cfg.Setup, "accounts made at once")
	f.IntVar(&cfg.PID, "server-pid", 0, "the server's process; found by its port if it runs here")
	f.BoolVar(&asJSON, "json", false, "print the report as JSON")
	return cmd
}

func write(w io.Writer, r *Report, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			return fmt.Errorf("print the report: %w", err)
		}
		return nil
	}
	var err error
	p := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format, args...)
		}
	}
	p("%s: %d users, %d rooms, %.1f s\n", r.Mode, r.Users, r.Rooms, r.Seconds)
	if r.Mode != ModeIdle {
		p("accepted   %9.0f /s   p50 %7.1f ms   p95 %7.1f ms   p99 %7.1f ms   max %7.1f ms\n",
			r.AcceptedPerSecond, r.Acceptance.P50, r.Acceptance.P95, r.Acceptance.P99, r.Acceptance.Max)
		p("delivered  %9.0f /s   p50 %7.1f ms   p95 %7.1f ms   p99 %7.1f ms   max %7.1f ms\n",
			r.DeliveredPerSecond, r.Delivery.P50, r.Delivery.P95, r.Delivery.P99, r.Delivery.Max)
		p("checked    %d deliveries of %d messages: %d lost, %d duplicated, %d reordered\n",
			r.Verdict.Expected, r.Verdict.Accepted, r.Verdict.Lost, r.Verdict.Duplicated, r.Verdict.Reordered)
	}
	p("syncs      %9.0f /s   gaps filled %d\n", r.SyncsPer, r.Gaps)
	if s := r.Server; s != nil {
		p("server     %9.2f cores   %.0f MiB resident (peak %.0f)", s.Cores, s.RSSMiB, s.PeakRSSMiB)
		if r.Mode == ModeIdle {
			p("   %.1f KiB a parked poll\n", s.PerIdlePollKiB)
		} else {
			p("   %.0f µs a delivery\n", s.CPUPerDelivery)
		}
	}
	for kind, n := range r.Errors {
		p("error      %d × %s\n", n, kind)
	}
	for _, e := range r.Verdict.Examples {
		p("wrong      %s\n", e)
	}
	if err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return nil
}
