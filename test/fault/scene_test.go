package fault_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/bench"
	"hongyan/test/harness"
)

// patience is the longest wait for what must happen but has no bound of its own.
const patience = time.Minute

// scene is a topology under load.
type scene struct {
	*harness.Cluster
	load    *bench.Load
	letters *letters
	seen    *recorder
	table   *table
	short   bool
	// before is the verdict at the end of the row before.
	before bench.Verdict
}

// fault is a kind of fault.
type fault struct {
	name  string
	bound bound
	// strikes are whom it can strike in a scene, and how; none where it does not apply.
	strikes func(s *scene) []strike
}

// strike is a fault with who is struck.
type strike struct {
	target string
	// edge says that a gateway is struck.
	edge bool
	// do makes the fault and mends it. It returns how long nobody was there to do the work, and what else to tell.
	do func(t *testing.T) (effect, error)
}

// effect is what a strike found by itself.
type effect struct {
	outage time.Duration
	note   string
}

// play runs the faults on a topology under one load, prints the table and checks everything at the end.
func play(t *testing.T, topology harness.Topology, short bool, faults []fault) {
	s := &scene{Cluster: harness.StartCluster(t, topology), seen: &recorder{}, table: &table{topology: topology.Name}, short: short}
	cfg := bench.DefaultConfig()
	cfg.URL, cfg.Mode, cfg.Users, cfg.Rate, cfg.Errands, cfg.Drain = s.URL, bench.ModeMixed, 12, 40, 12, patience
	s.seen.hooks(&cfg)
	var err error
	s.load, err = bench.Start(t.Context(), cfg, func(string) {})
	require.NoError(t, err)
	s.letters, err = startLetters(t.Context(), s.URL, cfg)
	defer s.letters.end()
	require.NoError(t, err)
	defer func() {
		require.NoError(t, s.table.print(os.Stdout))
	}()
	for _, f := range faults {
		for _, k := range f.strikes(s) {
			t.Run(strings.ReplaceAll(f.name+"/"+k.target, " ", "-"), func(t *testing.T) { s.strike(t, f, k) })
		}
	}
	s.finish(t)
}

// strike makes one fault and adds its row.
func (s *scene) strike(t *testing.T, f fault, k strike) {
	r := &row{fault: f.name, target: k.target, bound: f.bound}
	s.seen.reset()
	s.table.rows = append(s.table.rows, r)
	e, err := k.do(t)
	r.outage, r.note = e.outage, e.note
	if err != nil {
		r.add("%v", err)
	}
	s.settle(t.Context(), r)
	r.figures = s.seen.figures(k.edge)
	r.judge()
	t.Logf("%s %s: %d requests, %d failed (%s), stall %s, slowest answer to a sender %s, longest gap %s %s", f.name, k.target,
		r.requests, r.failed, r.failures(), show(r.stall), show(r.answer), show(r.gap), r.note)
	require.Empty(t, r.wrong, "%s %s", f.name, k.target)
}

// settle waits until messages flow and everything acknowledged has arrived, and adds what was lost, doubled or reordered.
func (s *scene) settle(ctx context.Context, r *row) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	const some = 20
	want := s.seen.acknowledged() + some
	if err := until(ctx, "messages are acknowledged again", func() bool { return s.seen.acknowledged() >= want }); err != nil {
		r.add("%v", err)
	}
	s.seen.end()
	s.pause(true) // otherwise some message is always on its way
	defer s.pause(false)
	arrived := func() bool { return s.load.Settled() && s.letters.settled() }
	if err := until(ctx, "all that was acknowledged has arrived", arrived); err != nil {
		r.add("%v: %s", err, strings.Join(s.letters.missing(), "; "))
	}
	if err := s.letters.complaints(); err != nil {
		r.add("%v", err)
	}
	v := s.load.Verdict()
	if v.Lost > s.before.Lost || v.Duplicated > s.before.Duplicated || v.Reordered > s.before.Reordered {
		r.add("%d lost, %d doubled, %d reordered: %s", v.Lost-s.before.Lost, v.Duplicated-s.before.Duplicated,
			v.Reordered-s.before.Reordered, strings.Join(v.Examples, "; "))
	}
	s.before = v
}

// pause stops the load, but for the syncs, or lets it go on.
func (s *scene) pause(paused bool) {
	s.load.Pause(paused)
	s.letters.paused.Store(paused)
}

// finish ends the load and checks everything that was ever acknowledged: what everybody saw, what the rooms' histories say,
// and that repeating a request makes nothing new.
func (s *scene) finish(t *testing.T) {
	r := &row{fault: "all of them", target: "checked at the end"}
	s.table.rows = append(s.table.rows, r)
	verdict, err := s.load.Finish(t.Context())
	if err != nil {
		r.add("%v", err)
	}
	if !verdict.OK() {
		r.add("%+v", verdict)
	}
	sent := s.seen.messages()
	if err := checkIdempotent(t.Context(), sent); err != nil {
		r.add("%v", err)
	}
	if err := checkHistory(t.Context(), sent); err != nil {
		r.add("%v", err)
	}
	s.letters.paused.Store(true)
	if err := s.letters.repeat(t.Context()); err != nil {
		r.add("%v", err)
	}
	r.note = fmt.Sprintf("%d messages, %d deliveries, %d letters", verdict.Accepted, verdict.Expected, s.letters.count())
	if len(r.wrong) > 0 {
		t.Errorf("at the end: %s", strings.Join(r.wrong, "\n"))
	}
}

// until waits until the answer is yes.
func until(ctx context.Context, what string, yes func() bool) error {
	for !yes() {
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("waiting until %s: %w", what, err)
		}
	}
	return nil
}

// wait lets time pass.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
