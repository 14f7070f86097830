package eventlog_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
	"hongyan/test/pgtest"
)

// TestFollowersGoOnInARestoredLog renews the epoch of a log and looks where its followers stand.
func TestFollowersGoOnInARestoredLog(t *testing.T) {
	for name, urls := range map[string][2]string{
		"sqlite":   {"sqlite:" + filepath.Join(t.TempDir(), "a.db"), "sqlite:" + filepath.Join(t.TempDir(), "b.db")},
		"postgres": {pgtest.Start(t), pgtest.Start(t)},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			followed, following := openURL(t, urls[0]), openURL(t, urls[1])
			schema := eventlog.Schema{Name: "facts", Shards: 4}
			log, err := eventlog.Open(ctx, followed, schema, eventlog.Config{})
			require.NoError(t, err)
			unused := func(table string) bool {
				tables, err := followed.Tables(ctx, followed)
				require.NoError(t, err)
				is, err := eventlog.IsUnused(ctx, followed, tables, table)
				require.NoError(t, err)
				return is
			}
			require.True(t, unused("facts_meta"))
			require.True(t, unused("facts_shard"))
			require.False(t, unused("facts_stream"), "Open leaves it empty: whether it is says the table itself")
			_, err = followed.Exec(ctx, "UPDATE facts_shard SET head = 10")
			require.NoError(t, err)
			require.False(t, unused("facts_shard"))

			cursors, err := eventlog.OpenCursors(ctx, following, "mine")
			require.NoError(t, err)
			old := log.Epoch()
			for shard, position := range []int64{10, 3, 11} {
				require.NoError(t, cursors.Set(ctx, "reader", old, shard, position))
			}
			require.NoError(t, cursors.Set(ctx, "other", old+2, 0, 7))

			require.NoError(t, eventlog.Renew(ctx, []*sqldb.DB{following, followed}))
			log, err = eventlog.Open(ctx, followed, schema, eventlog.Config{})
			require.NoError(t, err)
			require.NotEqual(t, old, log.Epoch())
			stands, err := cursors.Load(ctx, "reader", 4)
			require.NoError(t, err)
			require.Equal(t, eventlog.Heads{Epoch: log.Epoch(), Shard: []int64{10, 3, 0, 0}}, stands,
				"what lies beyond the head begins anew")
			stands, err = cursors.Load(ctx, "other", 4)
			require.NoError(t, err)
			require.Equal(t, eventlog.Heads{Epoch: old + 2, Shard: []int64{7, 0, 0, 0}}, stands, "it follows another log")
		})
	}
}

func openURL(t *testing.T, url string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(context.WithoutCancel(t.Context()), sqldb.Config{URL: url})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}
