package follow_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/bus"
	"hongyan/platform/bus/memory"
	"hongyan/platform/eventlog"
	"hongyan/platform/eventlog/logrpc"
	"hongyan/platform/follow"
	"hongyan/platform/obs/obstest"
	"hongyan/platform/sqldb"
	"hongyan/test/pgtest"
)

func TestMain(m *testing.M) {
	logx.Disable()
	obstest.Main(m)
}

const (
	patience = 30 * time.Second
	shards   = 4
)

// place is a log that grows, and the database of who follows it.
type place struct {
	t       *testing.T
	log     *eventlog.Log
	logDB   *sqldb.DB
	db      *sqldb.DB
	bus     bus.Bus
	cursors *eventlog.Cursors
	written int
}

func onBoth(t *testing.T, test func(*place)) {
	for name, url := range map[string]func(testing.TB) string{
		"sqlite":   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "a.db") },
		"postgres": pgtest.Start,
	} {
		t.Run(name, func(t *testing.T) {
			p := &place{t: t, bus: memory.New(0)}
			t.Cleanup(func() { require.NoError(t, p.bus.Close()) })
			p.db, p.logDB = open(t, url(t)), open(t, "sqlite:"+filepath.Join(t.TempDir(), "log.db"))
			var err error
			p.cursors, err = eventlog.OpenCursors(t.Context(), p.db, "test")
			require.NoError(t, err)
			_, err = p.db.Exec(t.Context(), `CREATE TABLE seen (ref TEXT NOT NULL)`)
			require.NoError(t, err)
			p.open()
			test(p)
		})
	}
}

func open(t *testing.T, url string) *sqldb.DB {
	db, err := sqldb.Open(context.Background(), sqldb.Config{URL: url})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// open opens the log that is followed.
func (p *place) open() {
	log, err := eventlog.Open(context.Background(), p.logDB, eventlog.Schema{Name: "facts", Shards: shards}, eventlog.Config{
		OnCommit: logrpc.Waker(p.bus, "facts"),
	})
	require.NoError(p.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- log.Run(ctx) }()
	p.t.Cleanup(func() {
		cancel()
		require.NoError(p.t, <-done)
	})
	p.log = log
}

func (p *place) write(n int) {
	for range n {
		p.written++
		stream, err := p.log.Stream(p.t.Context(), fmt.Sprintf("stream %d", p.written%9))
		require.NoError(p.t, err)
		_, err = p.log.Append(p.t.Context(), eventlog.Append{Stream: stream, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{
			{Kind: 1, Ref: fmt.Sprintf("ref %d", p.written)},
		}})
		require.NoError(p.t, err)
	}
}

// seen counts what was taken in, and how much of that is different.
func (p *place) seen() (all, different int) {
	require.NoError(p.t, p.db.QueryRow(p.t.Context(), `SELECT count(*), count(DISTINCT ref) FROM seen`).Scan(&all, &different))
	return all, different
}

func (p *place) await(n int) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { _, different := p.seen(); return different == n }, patience, time.Millisecond)
}

// config follows and keeps all references, in the transaction that moves the cursor.
func (p *place) config() follow.Config {
	return follow.Config{
		Log: "facts", Source: p.log, Bus: p.bus, Cursors: p.cursors, Follower: "f", Timeout: patience, Retry: time.Millisecond,
		Apply: func(ctx context.Context, page *follow.Page) error {
			return p.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
				if err := page.Advance(ctx, tx); err != nil {
					return err
				}
				return keep(ctx, tx, page)
			})
		},
	}
}

func keep(ctx context.Context, tx sqldb.Tx, page *follow.Page) error {
	for _, r := range page.Records {
		if _, err := tx.Exec(ctx, `INSERT INTO seen (ref) VALUES ($1)`, r.Ref); err != nil {
			return err
		}
	}
	return nil
}

// run follows until the returned function is called.
func (p *place) run(c follow.Config) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	p.t.Cleanup(stop)
	return stop
}

func TestGoesOnWhereItStopped(t *testing.T) {
	onBoth(t, func(p *place) {
		for range 3 {
			p.write(20)
			stop := p.run(p.config())
			p.await(p.written)
			p.write(5)
			p.await(p.written)
			stop()
		}
		all, _ := p.seen()
		require.Equal(p.t, p.written, all, "everything once")
	})
}

// keepEven keeps what has an even number, and moves the cursor with it; of other pages it keeps nothing.
func (p *place) keepEven() follow.Config {
	c := p.config()
	c.Gather = 5 * time.Millisecond
	c.Apply = func(ctx context.Context, page *follow.Page) error {
		even := *page
		even.Records = nil
		for _, r := range page.Records {
			if n := r.Ref[len(r.Ref)-1] - '0'; n%2 == 0 {
				even.Records = append(even.Records, r)
			}
		}
		if len(even.Records) == 0 {
			return nil
		}
		return p.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
			if err := page.Advance(ctx, tx); err != nil {
				return err
			}
			return keep(ctx, tx, &even)
		})
	}
	return c
}

// Cursors of pages of which nothing is kept are written a little later, together, by whichever of two that follow at once: what is kept
// is kept once all the same.
func TestGathersCursors(t *testing.T) {
	onBoth(t, func(p *place) {
		for range 2 {
			p.run(p.keepEven())
		}
		for range 100 {
			p.write(1)
		}
		p.await(50)
		all, _ := p.seen()
		require.Equal(p.t, 50, all, "once")
		heads, err := p.log.Heads(p.t.Context())
		require.NoError(p.t, err)
		require.Eventually(p.t, func() bool {
			at, err := p.cursors.Load(p.t.Context(), "f", shards)
			return err == nil && fmt.Sprint(at.Shard) == fmt.Sprint(heads.Shard)
		}, patience, time.Millisecond, "the cursors come to the head")
	})
}

// What begins at the head takes in nothing from before, and everything after it, whether it runs by then or not.
func TestBeginsAtTheHead(t *testing.T) {
	onBoth(t, func(p *place) {
		p.write(2) // leaves a shard or more empty
		c := p.config()
		c.FromHead = true
		stop := p.run(c)
		require.Eventually(p.t, func() bool {
			at, err := p.cursors.Load(p.t.Context(), "f", shards)
			return err == nil && at.Epoch != 0
		}, patience, time.Millisecond)
		stop()
		p.write(20)
		p.run(c)
		p.await(20)
		all, _ := p.seen()
		require.Equal(p.t, 20, all)
	})
}

// A step that leaves the cursor to the follower is repeated after an error, and the cursor is behind what was done.
func TestMovesTheCursorAfterTheStep(t *testing.T) {
	onBoth(t, func(p *place) {
		p.write(10)
		failed := make(chan struct{}, 1)
		c := p.config()
		c.Apply = func(ctx context.Context, page *follow.Page) error {
			select {
			case failed <- struct{}{}:
				return errors.New("not this time")
			default:
			}
			return p.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error { return keep(ctx, tx, page) })
		}
		stop := p.run(c)
		p.await(10)
		heads, err := p.log.Heads(p.t.Context())
		require.NoError(p.t, err)
		require.Eventually(p.t, func() bool {
			at, err := p.cursors.Load(p.t.Context(), "f", shards)
			return err == nil && fmt.Sprint(at.Shard) == fmt.Sprint(heads.Shard)
		}, patience, time.Millisecond)
		stop()
		all, _ := p.seen()
		require.Equal(p.t, 10, all)
	})
}

// Two that follow at once, as when a lease has passed on and its last holder does not know yet, take in everything once.
func TestTwoTakeInEverythingOnce(t *testing.T) {
	onBoth(t, func(p *place) {
		for range 2 {
			p.run(p.config())
		}
		for range 10 {
			p.write(20)
			p.await(p.written)
		}
		all, _ := p.seen()
		require.Equal(p.t, p.written, all)
	})
}

// A log with another epoch is followed from its beginning, with or without something to forget before.
func TestBeginsAnewInAnotherLog(t *testing.T) {
	for _, forgets := range []bool{true, false} {
		onBoth(t, func(p *place) {
			c := p.config()
			if forgets {
				c.Restart = func(ctx context.Context) error {
					return p.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
						if err := p.cursors.ResetIn(ctx, tx, "f"); err != nil {
							return err
						}
						_, err := tx.Exec(ctx, `DELETE FROM seen`)
						return err
					})
				}
			}
			stop := p.run(c)
			p.write(20)
			p.await(20)
			stop()
			require.NoError(p.t, eventlog.Renew(p.t.Context(), []*sqldb.DB{p.logDB}))
			p.open()
			c.Source = p.log
			p.run(c)
			want := 40
			if forgets {
				want = 20
			}
			require.Eventually(p.t, func() bool { all, _ := p.seen(); return all == want }, patience, time.Millisecond)
			p.write(1)
			p.await(21)
		})
	}
}
