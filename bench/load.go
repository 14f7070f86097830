package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// Load is a run whose end its owner decides: everybody syncs, messages are sent at the configured rate, errands are run.
// Duration and Warmup do not matter to it.
type Load struct {
	run    *run
	users  []*user
	groups []*group
	errand []*errands

	stopSyncing context.CancelFunc
	stopSends   context.CancelFunc
	loops       errgroup.Group
	senders     errgroup.Group
	disconnect  func()
}

// Start makes the accounts and rooms and begins. It returns when everybody syncs. ctx ends the load too; Finish must
// follow.
func Start(ctx context.Context, cfg Config, progress func(string)) (*Load, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Mode == ModeIdle {
		return nil, errors.New("nobody speaks in an idle run: there is nothing to check")
	}
	l, err := prepare(ctx, cfg, progress)
	if err != nil {
		return nil, err
	}
	if err := startSyncing(l.untilEnd(ctx), &l.loops, l.users); err != nil {
		l.end()
		return nil, err
	}
	l.run.measured.Store(true)
	l.send(ctx, len(l.users))
	return l, nil
}

// prepare makes the accounts and rooms.
func prepare(ctx context.Context, cfg Config, progress func(string)) (*Load, error) {
	transport := NewTransport(4*cfg.Users + 64)
	l := &Load{run: &run{cfg: cfg, start: time.Now(), ledger: NewLedger()}, disconnect: transport.CloseIdleConnections}
	l.stopSends, l.stopSyncing = func() {}, func() {}
	progress(fmt.Sprintf("making %d accounts and their rooms", cfg.Users))
	var err error
	if l.users, l.groups, err = l.run.setUp(ctx, transport); err == nil {
		l.errand, err = l.run.makeErrands(ctx, transport)
	}
	if err != nil {
		l.end()
		return nil, err
	}
	return l, nil
}

// untilEnd returns a context for the sync loops that ends with ctx or the load.
func (l *Load) untilEnd(ctx context.Context) context.Context {
	ctx, l.stopSyncing = context.WithCancel(ctx)
	return ctx
}

// send begins to send and to run errands. backlog is how many messages are caught up with that could not be sent in time.
func (l *Load) send(ctx context.Context, backlog int) {
	sending, stop := context.WithCancel(ctx)
	l.stopSends = stop
	var pace chan struct{}
	if l.run.cfg.Rate > 0 {
		pace = make(chan struct{}, backlog)
		l.senders.Go(func() error { l.run.keepPace(sending, l.run.cfg.Rate, pace); return nil })
	}
	rooms := map[*user][]string{}
	for _, g := range l.groups {
		for _, u := range g.senders {
			rooms[u] = append(rooms[u], g.roomID)
		}
	}
	for u, ids := range rooms {
		l.senders.Go(func() error { u.sendLoop(sending, ids, pace); return nil })
	}
	if len(l.errand) == 0 {
		return
	}
	errandPace := make(chan struct{}, len(l.errand))
	l.senders.Go(func() error { l.run.keepPace(sending, l.run.cfg.Errands, errandPace); return nil })
	for _, e := range l.errand {
		l.senders.Go(func() error { e.loop(sending, errandPace); return nil })
	}
}

// stopSending ends the senders, after what they have begun.
func (l *Load) stopSending() {
	l.stopSends()
	_ = l.senders.Wait()
}

func (l *Load) end() {
	l.stopSending()
	l.stopSyncing()
	_ = l.loops.Wait()
	l.disconnect()
}

// Pause stops sending and errands, or lets them go on. What is under way goes on.
func (l *Load) Pause(paused bool) { l.run.paused.Store(paused) }

// Settled tells, of a paused load, whether nothing is under way: no request but polls, no delivery.
func (l *Load) Settled() bool { return l.run.busy.Load() == 0 && l.run.ledger.Missing() == 0 }

// Verdict compares what was accepted with what everybody saw. What is still on its way counts as lost.
func (l *Load) Verdict() Verdict { return l.run.ledger.Verdict() }

// Errors counts what failed so far, by kind.
func (l *Load) Errors() map[string]int { return l.run.errors.all() }

// Finish stops sending, waits for the last deliveries (at most Drain), checks what the errands left behind, and ends the
// load. The error says what of the errands was lost or doubled.
func (l *Load) Finish(ctx context.Context) (Verdict, error) {
	defer l.end()
	l.stopSending()
	l.run.drain(ctx)
	verdict := l.Verdict()
	var wrong []error
	for _, e := range l.errand {
		if err := e.check(ctx); err != nil {
			wrong = append(wrong, fmt.Errorf("errands of %s: %w", e.UserID, err))
		}
	}
	if n := l.run.unsent.Load(); n > 0 {
		wrong = append(wrong, fmt.Errorf("%d messages could not be sent however often they were repeated", n))
	}
	return verdict, errors.Join(wrong...)
}
