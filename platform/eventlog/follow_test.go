package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// seen is what a follower was given, checked as it comes.
type seen struct {
	mu      sync.Mutex
	through map[int]int64
	refs    map[string]int
	errs    []error
}

func newSeen() *seen { return &seen{through: make(map[int]int64), refs: make(map[string]int)} }

func (s *seen) apply(_ context.Context, shard int, records []eventlog.Record, through int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.through[shard]
	for _, r := range records {
		if r.Shard != shard || r.Position <= last || r.Position > through {
			s.errs = append(s.errs, fmt.Errorf("shard %d: position %d after %d, through %d", shard, r.Position, last, through))
		}
		last = r.Position
		s.refs[r.Ref]++
	}
	s.through[shard] = through
	return nil
}

func (s *seen) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.refs)
}

func (s *seen) check(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Empty(t, s.errs)
	for ref, n := range s.refs {
		require.Equal(t, 1, n, ref)
	}
}

// follow runs a follower until the returned function is called, which returns Run's error.
func follow(f *eventlog.Follower) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	return func() error { cancel(); return <-done }
}

func appendTo(t testing.TB, l *eventlog.Log, rooms, each int, prefix string) {
	t.Helper()
	for i := range rooms {
		s := stream(t, l, fmt.Sprintf("!%s%d:x", prefix, i))
		for n := range each {
			_, err := l.Append(t.Context(), message(s, int64(n), fmt.Sprintf("$%s-%d-%d", prefix, i, n)))
			require.NoError(t, err)
		}
	}
}

const patience = 30 * time.Second

func TestFollowerSeesEverythingOnceAndInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		appendTo(t, l, 5, 10, "before")
		var looks atomic.Int64
		for name, cfg := range map[string]eventlog.FollowConfig{
			"bus goes": {Poll: time.Hour, PollBusDown: 5 * time.Millisecond, BusDown: func() bool { return looks.Add(1) > 3 }},
			"woken":    {Poll: time.Hour, Page: 3},
			"polls":    {Poll: 5 * time.Millisecond, Page: 3},
			"no bus":   {Poll: time.Hour, PollBusDown: 5 * time.Millisecond, BusDown: func() bool { return true }},
		} {
			t.Run(name, func(t *testing.T) {
				s := newSeen()
				f := eventlog.NewFollower(l, cfg, s.apply)
				start := count(t, l, "event")
				stop := follow(f)
				require.Eventually(t, func() bool { return s.count() == start }, patience, time.Millisecond)
				appendTo(t, l, 3, 4, name)
				if name == "woken" {
					h, err := l.Heads(t.Context())
					require.NoError(t, err)
					for shard, head := range h.Shard {
						f.Wake(shard, head)
						f.Wake(shard, head-1)
					}
				}
				require.Eventually(t, func() bool { return s.count() == start+12 }, patience, time.Millisecond)
				require.NoError(t, stop())
				s.check(t)
			})
		}
	})
}

// flaky is a log that often fails.
type flaky struct {
	*eventlog.Log
	calls atomic.Int64
}

func (f *flaky) Heads(ctx context.Context) (eventlog.Heads, error) {
	if f.calls.Add(1)%2 == 1 {
		return eventlog.Heads{}, errors.New("no answer")
	}
	return f.Log.Heads(ctx)
}

func (f *flaky) Read(ctx context.Context, shard int, after int64, limit int) ([]eventlog.Record, int64, error) {
	if f.calls.Add(1)%3 == 1 {
		return nil, 0, errors.New("no answer")
	}
	return f.Log.Read(ctx, shard, after, limit)
}

func TestFollowerGoesOnAfterErrors(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		appendTo(t, l, 5, 5, "a")
		s := newSeen()
		var tries atomic.Int64
		f := eventlog.NewFollower(&flaky{Log: l}, eventlog.FollowConfig{Poll: time.Millisecond, Page: 2},
			func(ctx context.Context, shard int, records []eventlog.Record, through int64) error {
				if tries.Add(1)%4 == 1 {
					return errors.New("not now")
				}
				return s.apply(ctx, shard, records, through)
			})
		stop := follow(f)
		require.Eventually(t, func() bool { return s.count() == 25 }, patience, time.Millisecond)
		require.NoError(t, stop())
		s.check(t)
	})
}

func TestFollowerNoticesARestoredLog(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		appendTo(t, l, 1, 1, "a")
		s := newSeen()
		ended := make(chan error, 1)
		go func() {
			ended <- eventlog.Follow(context.Background(), l, eventlog.FollowConfig{Poll: time.Millisecond}, s.apply)
		}()
		require.Eventually(t, func() bool { return s.count() == 1 }, patience, time.Millisecond)
		require.NoError(t, l.NewEpoch(t.Context()))
		require.ErrorIs(t, <-ended, eventlog.ErrEpochChanged)

		beyond := eventlog.Heads{Shard: make([]int64, l.Shards())}
		beyond.Shard[7] = 1
		err := eventlog.Follow(t.Context(), l, eventlog.FollowConfig{From: beyond}, s.apply)
		require.ErrorIs(t, err, eventlog.ErrEpochChanged)
	})
}

// shortened is a log that loses the end of its shards.
type shortened struct {
	*eventlog.Log
	lost atomic.Int64
}

func (s *shortened) Heads(ctx context.Context) (eventlog.Heads, error) {
	h, err := s.Log.Heads(ctx)
	for shard := range h.Shard {
		h.Shard[shard] = max(0, h.Shard[shard]-s.lost.Load())
	}
	return h, err
}

func TestFollowerNoticesThatTheEndWasLost(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		appendTo(t, l, 1, 3, "a")
		s, source := newSeen(), &shortened{Log: l}
		ended := make(chan error, 1)
		go func() {
			ended <- eventlog.Follow(context.Background(), source, eventlog.FollowConfig{Poll: time.Millisecond}, s.apply)
		}()
		require.Eventually(t, func() bool { return s.count() == 3 }, patience, time.Millisecond)
		source.lost.Store(1)
		require.ErrorIs(t, <-ended, eventlog.ErrEpochChanged)
	})
}

func TestCursorsLetAFollowerGoOnWhereItWas(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		db := l.DB()
		cursors, err := eventlog.OpenCursors(t.Context(), db, "test")
		require.NoError(t, err)
		s := newSeen()
		apply := func(ctx context.Context, shard int, records []eventlog.Record, through int64) error {
			err := db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
				return cursors.Advance(ctx, tx, "f", l.Epoch(), shard, through)
			})
			if err != nil {
				return err
			}
			return s.apply(ctx, shard, records, through)
		}
		for round := range 3 {
			appendTo(t, l, 4, 3, fmt.Sprint(round))
			from, err := cursors.Load(t.Context(), "f", l.Shards())
			require.NoError(t, err)
			stop := follow(eventlog.NewFollower(l, eventlog.FollowConfig{From: from, Page: 2}, apply))
			require.Eventually(t, func() bool { return s.count() == 12*(round+1) }, patience, time.Millisecond)
			require.NoError(t, stop())
		}
		s.check(t)

		require.NoError(t, cursors.Set(t.Context(), "g", 5, 1, 10))
		require.NoError(t, cursors.Set(t.Context(), "g", 5, 1, 9), "never back")
		at, err := cursors.Load(t.Context(), "g", l.Shards())
		require.NoError(t, err)
		require.EqualValues(t, 5, at.Epoch)
		require.EqualValues(t, 10, at.Shard[1])
		require.NoError(t, cursors.Set(t.Context(), "g", 6, 1, 3), "another epoch")
		at, err = cursors.Load(t.Context(), "g", l.Shards())
		require.NoError(t, err)
		require.EqualValues(t, 3, at.Shard[1])
		require.NoError(t, cursors.Reset(t.Context(), "g"))
		at, err = cursors.Load(t.Context(), "g", l.Shards())
		require.NoError(t, err)
		require.Zero(t, at.Epoch)
	})
}

// counted is a log of one shard that counts how often it is read.
type counted struct{ heads, reads atomic.Int64 }

func (c *counted) Heads(context.Context) (eventlog.Heads, error) {
	return eventlog.Heads{Epoch: 1, Shard: []int64{c.heads.Load()}}, nil
}

func (c *counted) Read(ctx context.Context, _ int, after int64, limit int) ([]eventlog.Record, int64, error) {
	if c.reads.Add(1) > 10 {
		<-ctx.Done() // a follower that reads on and on would otherwise not let the test end
		return nil, 0, ctx.Err()
	}
	through := min(after+int64(limit), c.heads.Load())
	var records []eventlog.Record
	for p := after + 1; p <= through; p++ {
		records = append(records, eventlog.Record{Position: p, Ref: fmt.Sprint(p)})
	}
	return records, through, nil
}

func TestFollowerDoesNotChaseAHeadThatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := &counted{}, newSeen()
		l.heads.Store(2)
		f := eventlog.NewFollower(l, eventlog.FollowConfig{Poll: time.Hour}, s.apply)
		stop := follow(f)
		synctest.Wait()
		require.EqualValues(t, 1, l.reads.Load())

		f.Wake(0, 1_000_000)
		synctest.Wait()
		require.EqualValues(t, 2, l.reads.Load(), "a false head costs one read")

		l.heads.Store(3)
		f.Wake(0, 3)
		synctest.Wait()
		require.EqualValues(t, 3, f.Position(0), "a true head below the false one still counts")
		require.EqualValues(t, 3, l.reads.Load())

		l.heads.Store(5)
		f.Wake(0, 1_000_000)
		synctest.Wait()
		require.EqualValues(t, 5, f.Position(0))
		require.EqualValues(t, 5, l.reads.Load(), "what there is, and then nothing")
		require.NoError(t, stop())
		s.check(t)
	})
}

func TestHeadIsFoundAmongTheRowsOfAPage(t *testing.T) {
	head := eventlog.Record{Position: 9}
	one, two := eventlog.Record{Stream: 1, Position: 3}, eventlog.Record{Stream: 2, Position: 5}
	for name, rows := range map[string][]eventlog.Record{
		"last": {one, two, head}, "between": {one, head, two}, "first": {head, one, two},
	} {
		records, through, ok := eventlog.CutHead(rows)
		require.True(t, ok, name)
		require.EqualValues(t, 9, through, name)
		require.Equal(t, []eventlog.Record{one, two}, records, name)
	}
	_, _, ok := eventlog.CutHead([]eventlog.Record{one, two})
	require.False(t, ok, "without a head there is no such shard")
}
