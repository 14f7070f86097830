package bench

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// Report is what a run found.
type Report struct {
	Mode    Mode    `json:"mode"`
	Users   int     `json:"users"`
	Rooms   int     `json:"rooms"`
	Seconds float64 `json:"seconds"`
	// AcceptedPerSecond are messages that the server acknowledged; DeliveredPerSecond are messages that other users'
	// /sync brought (a message in a group of n counts n-1 times); echoes to the sender are not counted.
	AcceptedPerSecond  float64 `json:"accepted_per_second"`
	DeliveredPerSecond float64 `json:"delivered_per_second"`
	// Acceptance is from the start of a send to its answer, Delivery from the start of a send to its arrival.
	Acceptance Summary `json:"acceptance"`
	Delivery   Summary `json:"delivery"`
	SyncsPer   float64 `json:"syncs_per_second"`
	// Gaps are limited timelines that had to be filled by paging back.
	Gaps    int64          `json:"gaps"`
	Errors  map[string]int `json:"errors"`
	Verdict Verdict        `json:"verdict"`
	Server  *ServerReport  `json:"server,omitempty"`
}

// ServerReport is what the server's process used while messages were measured.
type ServerReport struct {
	PID int `json:"pid"`
	// Cores is CPU time by wall-clock time.
	Cores float64 `json:"cores"`
	// CPUPerDelivery is in microseconds.
	CPUPerDelivery float64 `json:"cpu_us_per_delivery,omitempty"`
	RSSMiB         float64 `json:"rss_mib"`
	PeakRSSMiB     float64 `json:"peak_rss_mib"`
	// PerIdlePollKiB is what a parked poll costs, in ModeIdle.
	PerIdlePollKiB float64 `json:"per_idle_poll_kib,omitempty"`
}

// Run does what the configuration says and reports. An error means that there is nothing to report.
func Run(ctx context.Context, cfg Config, progress func(string)) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.PID == 0 {
		cfg.PID = FindServer(cfg.URL)
	}
	l, err := prepare(ctx, cfg, progress)
	if err != nil {
		return nil, err
	}
	defer l.end()
	report := &Report{Mode: cfg.Mode, Users: len(l.users), Rooms: len(l.groups)}
	if cfg.Mode == ModeIdle {
		return report, l.run.idle(l.untilEnd(ctx), report, &l.loops, l.users, progress)
	}
	progress("first syncs")
	if err := startSyncing(l.untilEnd(ctx), &l.loops, l.users); err != nil {
		return nil, err
	}
	if err := l.run.talk(ctx, report, l, progress); err != nil {
		return nil, err
	}
	return report, nil
}

func (r *run) usage() ProcessUsage {
	if r.cfg.PID == 0 {
		return ProcessUsage{}
	}
	u, err := Usage(r.cfg.PID)
	if err != nil {
		return ProcessUsage{}
	}
	return u
}

// talk sends for the warm-up and the duration, waits for the deliveries and fills in the report.
func (r *run) talk(ctx context.Context, report *Report, l *Load, progress func(string)) error {
	l.send(ctx, 1024)
	progress(fmt.Sprintf("sending for %s after a warm-up of %s", r.cfg.Duration, r.cfg.Warmup))
	sleep(ctx, r.cfg.Warmup)
	before, began, syncs := r.usage(), time.Now(), r.syncs.Load()
	r.measured.Store(true)
	sleep(ctx, r.cfg.Duration)
	r.measured.Store(false)
	after, seconds := r.usage(), time.Since(began).Seconds()
	// Deliveries are counted at the end of the measured time: what comes later waited in a queue.
	report.Seconds = seconds
	report.AcceptedPerSecond = float64(r.accepted.Load()) / seconds
	report.DeliveredPerSecond = float64(r.delivered.Load()) / seconds
	report.SyncsPer = float64(r.syncs.Load()-syncs) / seconds
	delivered := r.delivered.Load()
	l.stopSending()
	progress("waiting for the last deliveries")
	r.drain(ctx)
	report.Acceptance, report.Delivery = r.acceptance.Summary(), r.delivery.Summary()
	report.Gaps, report.Errors, report.Verdict = r.gaps.Load(), r.errors.all(), r.ledger.Verdict()
	if r.cfg.PID != 0 && after.RSS > 0 {
		cpu := after.CPU - before.CPU
		report.Server = &ServerReport{
			PID: r.cfg.PID, Cores: cpu.Seconds() / seconds, CPUPerDelivery: float64(cpu.Microseconds()) / float64(max(delivered, 1)),
			RSSMiB: mib(after.RSS), PeakRSSMiB: mib(after.PeakRSS),
		}
	}
	return ctx.Err()
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// drain waits until everything accepted was delivered, or for the configured time.
func (r *run) drain(ctx context.Context) {
	deadline := time.Now().Add(r.cfg.Drain)
	for time.Now().Before(deadline) && ctx.Err() == nil && r.ledger.Missing() > 0 {
		sleep(ctx, 200*time.Millisecond)
	}
}

// keepPace hands out permissions to send, rate a second. A permission that nobody takes in time is dropped.
func (r *run) keepPace(ctx context.Context, rate float64, pace chan<- struct{}) {
	const step = 5 * time.Millisecond
	t := time.NewTicker(step)
	defer t.Stop()
	due := 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if r.paused.Load() {
			continue
		}
		for due += rate * step.Seconds(); due >= 1; due-- {
			select {
			case pace <- struct{}{}:
			default:
			}
		}
	}
}

// idle measures what parked polls cost: half of the users wait already when the others come, so that what the server
// keeps of the accounts' making is not counted.
func (r *run) idle(ctx context.Context, report *Report, loops *errgroup.Group, users []*user, progress func(string)) error {
	half := len(users) / 2
	if err := startSyncing(ctx, loops, users[:half]); err != nil {
		return err
	}
	progress(fmt.Sprintf("half of the users wait for %s, then all", r.cfg.Duration))
	sleep(ctx, r.cfg.Duration)
	before := r.usage()
	if err := startSyncing(ctx, loops, users[half:]); err != nil {
		return err
	}
	sleep(ctx, r.cfg.Duration/2)
	began, from, syncs := time.Now(), r.usage(), r.syncs.Load()
	sleep(ctx, r.cfg.Duration/2)
	after, seconds := r.usage(), time.Since(began).Seconds()
	report.Seconds, report.Errors = seconds, r.errors.all()
	report.SyncsPer = float64(r.syncs.Load()-syncs) / seconds
	if r.cfg.PID != 0 && after.RSS > 0 {
		report.Server = &ServerReport{
			PID: r.cfg.PID, Cores: (after.CPU - from.CPU).Seconds() / seconds, RSSMiB: mib(after.RSS), PeakRSSMiB: mib(after.PeakRSS),
			PerIdlePollKiB: float64(after.RSS-before.RSS) / 1024 / float64(max(len(users)-half, 1)),
		}
	}
	return ctx.Err()
}
