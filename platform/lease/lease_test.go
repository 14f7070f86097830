package lease_test

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/lease"
	"hongyan/platform/obs/obstest"
	"hongyan/platform/sqldb"
	"hongyan/test/pgtest"
)

func TestMain(m *testing.M) { obstest.Main(m) }

// patience is how long something may take that happens soon.
const patience = 30 * time.Second

func open(t *testing.T, url string, lasts time.Duration) (*sqldb.DB, *lease.Leases) {
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: url})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	l, err := lease.Open(t.Context(), db, "test", lease.Config{For: lasts})
	require.NoError(t, err)
	return db, l
}

// instance runs a lease until it is stopped.
type instance struct {
	held chan *lease.Term
	lost chan struct{}
	stop func()
}

func run(t *testing.T, l *lease.Leases, name string) *instance {
	ctx, cancel := context.WithCancel(context.Background())
	i := &instance{held: make(chan *lease.Term, 16), lost: make(chan struct{}, 16)}
	var running sync.WaitGroup
	running.Go(func() {
		l.Run(ctx, name, func(ctx context.Context, term *lease.Term) {
			i.held <- term
			<-ctx.Done()
			i.lost <- struct{}{}
		})
	})
	i.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(i.stop)
	return i
}

func await[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		require.Fail(t, "waited in vain", what)
	}
	return v
}

func TestOneHoldsALeaseAndAnotherFollows(t *testing.T) {
	for name, url := range map[string]string{
		"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "a.db"), "postgres": pgtest.Start(t),
	} {
		t.Run(name, func(t *testing.T) {
			_, l := open(t, url, time.Minute/2)
			first := run(t, l, "a")
			require.True(t, await(t, first.held, "a free lease").Held())
			require.True(t, await(t, run(t, l, "b").held, "another lease").Held())
			db, second := open(t, url, 300*time.Millisecond)
			if name == "sqlite" { // whoever comes last has the file
				require.True(t, await(t, run(t, second, "a").held, "a lease of a process that is gone").Held())
				return
			}
			waiting := run(t, second, "a")
			var holders int
			require.NoError(t, db.QueryRow(t.Context(), `SELECT count(DISTINCT holder) FROM test_lease`).Scan(&holders))
			require.Equal(t, 1, holders)
			require.Empty(t, waiting.held, "while it is held")
			first.stop()
			await(t, first.lost, "the end of the work")
			require.True(t, await(t, waiting.held, "a lease that was released").Held())
		})
	}
}

func TestALeaseRunsOut(t *testing.T) {
	url := pgtest.Start(t)
	db, dead := open(t, url, 300*time.Millisecond)
	_, alive := open(t, url, 300*time.Millisecond)
	first := run(t, dead, "a")
	term := await(t, first.held, "a free lease")
	// The holder can do nothing any more, as one that is hung.
	blocked, unblock := context.WithCancel(context.Background())
	defer unblock()
	release := make(chan struct{})
	locked := make(chan error, 1)
	go func() {
		locked <- db.Write(blocked, func(ctx context.Context, tx sqldb.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE test_lease SET until_ms = 0, holder = 'dead'`)
			<-release
			return err
		})
	}()
	await(t, first.lost, "the end of work whose lease cannot be renewed")
	require.False(t, term.Held())
	close(release)
	require.NoError(t, <-locked)
	first.stop()
	require.True(t, await(t, run(t, alive, "a").held, "a lease that has run out").Held())
}

func TestALeaseThatIsStolenIsLost(t *testing.T) {
	db, l := open(t, pgtest.Start(t), 300*time.Millisecond)
	i := run(t, l, "a")
	await(t, i.held, "a free lease")
	_, err := db.Exec(t.Context(), `UPDATE test_lease SET holder = 'somebody', until_ms = until_ms + 500`)
	require.NoError(t, err)
	await(t, i.lost, "the end of the work")
	require.True(t, await(t, i.held, "the lease again, when the other's has run out").Held())
}

func TestWorkThatEndsIsDoneAgain(t *testing.T) {
	_, l := open(t, pgtest.Start(t), 300*time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	times := 0
	l.Run(ctx, "a", func(context.Context, *lease.Term) {
		if times++; times == 3 {
			cancel()
		}
	})
	require.Equal(t, 3, times)
}

func TestManyInstancesTakeTurns(t *testing.T) {
	url := pgtest.Start(t)
	var instances []*instance
	for range 3 {
		_, l := open(t, url, 300*time.Millisecond)
		instances = append(instances, run(t, l, "a"))
	}
	for left := instances; len(left) > 0; {
		holder := -1
		require.Eventually(t, func() bool {
			holder = slices.IndexFunc(left, func(i *instance) bool { return len(i.held) > 0 })
			return holder >= 0
		}, patience, time.Millisecond)
		left[holder].stop()
		left = slices.Delete(slices.Clone(left), holder, holder+1)
	}
}

func TestBadNamesAreRefused(t *testing.T) {
	_, err := lease.Open(t.Context(), nil, "a; DROP", lease.Config{})
	require.Error(t, err)
}

// Work that returns by itself is not called again at once.
func TestPausesAfterWork(t *testing.T) {
	const lasts, calls = 300 * time.Millisecond, 4
	_, l := open(t, "sqlite:"+filepath.Join(t.TempDir(), "a.db"), lasts)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began, called := time.Now(), 0
	l.Run(ctx, "a", func(context.Context, *lease.Term) {
		if called++; called == calls {
			cancel()
		}
	})
	require.Equal(t, calls, called)
	require.GreaterOrEqual(t, time.Since(began), (calls-1)*lasts/3)
}
