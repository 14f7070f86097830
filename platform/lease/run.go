package lease

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
)

// Term is the time for which an instance holds a lease.
type Term struct {
	until atomic.Pointer[time.Time]
}

// Held tells whether no other instance can hold the lease at this moment, as far as this one's clock, which need not
// be right but must not stand still, can tell.
func (t *Term) Held() bool { return time.Now().Before(*t.until.Load()) }

func (t *Term) extend(until time.Time) { t.until.Store(&until) }

// Run has work done whenever this instance holds the lease of this name, until ctx ends. The context of work ends when the lease
// is lost; work that returns by itself is called again when the instance holds the lease again, a third of its time later at
// the earliest. Run returns when work has.
func (l *Leases) Run(ctx context.Context, name string, work func(context.Context, *Term)) {
	mine := &lease{Leases: l, name: name, first: true}
	for ctx.Err() == nil {
		term := mine.await(ctx)
		if term == nil {
			return
		}
		logx.WithContext(ctx).Debugf("lease %s: taken", name)
		mine.hold(ctx, term, work)
		if err := mine.within(context.WithoutCancel(ctx), mine.release); err != nil {
			logx.WithContext(ctx).Errorf("%v", err)
		}
		select {
		case <-time.After(l.pause()): // whatever work cannot do, it is not asked again at once
		case <-ctx.Done():
		}
	}
}

// pause is the time between two looks at a lease, and how long each may take.
func (l *Leases) pause() time.Duration { return l.lasts / 3 }

func (l *Leases) within(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, l.pause())
	defer cancel()
	return do(ctx)
}

// attempt does what takes or renews the lease, and extends the term if the instance then holds it.
func (l *lease) attempt(ctx context.Context, term *Term, do func(context.Context) (bool, error)) (held bool, err error) {
	until := time.Now().Add(l.lasts) // counted from before the database's clock was read
	err = l.within(ctx, func(ctx context.Context) (err error) {
		held, err = do(ctx)
		return err
	})
	if held {
		term.extend(until)
	}
	return held, err
}

// await waits until the instance holds the lease. It returns nil when ctx ends first.
func (l *lease) await(ctx context.Context) *Term {
	ticker := time.NewTicker(l.pause())
	defer ticker.Stop()
	term := &Term{}
	for {
		held, err := l.attempt(ctx, term, l.tryTake)
		if held {
			return term
		}
		if err != nil && ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("%v", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// hold has work done while the lease is held, and returns when work has.
func (l *lease) hold(ctx context.Context, term *Term, work func(context.Context, *Term)) {
	working, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		work(working, term)
	}()
	l.keep(working, term, done)
	cancel()
	<-done
}

// keep renews the lease until work is done, ctx ends or the lease is lost.
func (l *lease) keep(ctx context.Context, term *Term, done <-chan struct{}) {
	ticker := time.NewTicker(l.pause())
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-done:
			return
		case <-ctx.Done():
			return
		}
		held, err := l.attempt(ctx, term, l.renew)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && term.Held():
			logx.WithContext(ctx).Errorf("%v", err)
		case !held:
			logx.WithContext(ctx).Infof("lease %s: lost", l.name)
			return
		}
	}
}
