package eventlog_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
	"hongyan/test/pgtest"
)

// database opens a log's database on a fresh file or server.
type database struct {
	name string
	url  func(t testing.TB) string
}

func databases() []database {
	return []database{
		{"sqlite", func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "log.db") }},
		{"postgres", func(t testing.TB) string { return pgtest.Start(t) }},
	}
}

// onBoth runs a test with a fresh log on each kind of database.
func onBoth(t *testing.T, test func(t *testing.T, l *eventlog.Log)) {
	t.Helper()
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			l := openLog(t, openDB(t, d.url(t)), eventlog.Config{})
			run(t, l)
			test(t, l)
		})
	}
}

func openDB(t testing.TB, url string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: url})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func openLog(t testing.TB, db *sqldb.DB, cfg eventlog.Config) *eventlog.Log {
	t.Helper()
	require.NoError(t, db.Migrate(t.Context(), sideTables()))
	l, err := eventlog.Open(t.Context(), db, roomSchema(), cfg)
	require.NoError(t, err)
	return l
}

// run runs the log until the returned function is called or the test ends.
func run(t testing.TB, l *eventlog.Log) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	var stopped bool
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(t, <-done)
	}
	t.Cleanup(stop)
	return stop
}

func stream(t testing.TB, l *eventlog.Log, name string) eventlog.Stream {
	t.Helper()
	s, err := l.Stream(t.Context(), name)
	require.NoError(t, err)
	return s
}

// message is an append of one event with its document.
func message(s eventlog.Stream, expect int64, id string) eventlog.Append {
	doc := []byte("doc of " + id)
	return eventlog.Append{
		Stream: s, Expect: expect,
		Entries: []eventlog.Entry{{Kind: 1, Ref: id, Body: []byte("body of " + id), Doc: doc}},
		Rows:    []eventlog.Row{{Table: tableEvent, Values: []any{id, doc}}},
	}
}

func TestAppendAndRead(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		s := stream(t, l, "!a:x")
		require.Equal(t, "!a:x", s.Name)
		require.Equal(t, eventlog.ShardOf("!a:x", eventlog.DefaultShards), s.Shard)
		require.Zero(t, s.Seq)
		for i := range int64(5) {
			r, err := l.Append(t.Context(), message(s, i, fmt.Sprintf("$%d", i+1)))
			require.NoError(t, err)
			require.Equal(t, eventlog.Result{Seq: i + 1, Positions: []int64{i + 1}}, r)
		}
		_, err := l.Append(t.Context(), message(s, 4, "$late"))
		require.ErrorIs(t, err, eventlog.ErrConflict)

		again := openAgain(t, l)
		for name, l := range map[string]*eventlog.Log{"tail": l, "database": again} {
			records, through, err := l.Read(t.Context(), s.Shard, 2, 2)
			require.NoError(t, err, name)
			require.EqualValues(t, 4, through, name)
			require.Len(t, records, 2, name)
			require.Equal(t, eventlog.Record{
				Shard: s.Shard, Position: 3, Stream: s.ID, Name: "!a:x", Seq: 3, Kind: 1, Ref: "$3",
				Body: []byte("body of $3"), Doc: []byte("doc of $3"),
			}, records[0], name)
		}
		h, err := l.Heads(t.Context())
		require.NoError(t, err)
		require.Equal(t, l.Epoch(), h.Epoch)
		require.Len(t, h.Shard, eventlog.DefaultShards)
		require.EqualValues(t, 5, h.Shard[s.Shard])
	})
}

// openAgain opens the same log without what the first one remembers.
func openAgain(t *testing.T, l *eventlog.Log) *eventlog.Log {
	t.Helper()
	again, err := eventlog.Open(t.Context(), l.DB(), roomSchema(), eventlog.Config{})
	require.NoError(t, err)
	return again
}

func TestStreamsOfNames(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		known, err := l.Stream(t.Context(), "!b:x")
		require.NoError(t, err)
		for range 2 {
			all, err := l.Streams(t.Context(), []string{"!c:x", "!b:x", "!a:x", "!b:x"})
			require.NoError(t, err)
			require.Len(t, all, 4)
			require.Equal(t, known, all[1])
			require.Equal(t, known, all[3])
			for i, name := range []string{"!c:x", "!b:x", "!a:x"} {
				s, ok, err := l.Lookup(t.Context(), name)
				require.NoError(t, err)
				require.True(t, ok)
				require.Equal(t, s, all[i])
			}
		}
		none, err := l.Streams(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, none)
		_, err = l.Streams(t.Context(), []string{""})
		require.Error(t, err)
	})
}
