package sqldb_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/obs/obstest"
	"hongyan/platform/sqldb"
	"hongyan/test/pgtest"
)

func TestMain(m *testing.M) { obstest.Main(m) }

func TestSQLIsWrittenOnce(t *testing.T) {
	lite, pg := open(t, "sqlite:"+t.TempDir()+"/x.db"), open(t, pgtest.Start(t))
	for _, c := range []struct{ sql, sqlite, postgres string }{
		{"SELECT $1, $2", "SELECT ?, ?", "SELECT $1, $2"},
		{"SELECT $2, $1", "SELECT ?2, ?1", "SELECT $2, $1"},
		{"SELECT $1, $1", "SELECT ?1, ?1", "SELECT $1, $1"},
		{"SELECT '$1', $1", "SELECT '$1', ?", "SELECT '$1', $1"},
		{"SELECT 'it''s $1', \"$2\", $1 -- why", "SELECT 'it''s $1', \"$2\", ? -- why", "SELECT 'it''s $1', \"$2\", $1 -- why"},
		{"a\nb -- sqlite\nc --postgres\nd -- postgres\ne", "a\nb\ne", "a\nc\nd\ne"},
		{"a -- sqlite only\nb -- sqlite", "a -- sqlite only\nb", "a -- sqlite only"},
		{"SELECT $12", "SELECT ?12", "SELECT $12"},
		{"SELECT $, $0", "SELECT $, $0", "SELECT $, $0"},
	} {
		require.Equal(t, c.sqlite, lite.SQL(c.sql))
		require.Equal(t, c.postgres, pg.SQL(c.sql))
	}
}

func TestPostgresSessionsAreBounded(t *testing.T) {
	db, err := sqldb.Open(t.Context(), sqldb.Config{
		URL: pgtest.Start(t), LockTimeout: 123 * time.Millisecond, StatementTimeout: 456 * time.Millisecond, IdleTxTimeout: 789 * time.Millisecond,
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	for name, want := range map[string]string{
		"lock_timeout": "123ms", "statement_timeout": "456ms", "idle_in_transaction_session_timeout": "789ms",
		"synchronous_commit": "on", "tcp_user_timeout": "5000", "default_transaction_isolation": "read committed",
	} {
		var got string
		require.NoError(t, db.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got))
		require.Equal(t, want, got, name)
	}
	_, err = db.Exec(t.Context(), "SELECT pg_sleep(60)")
	require.Error(t, err)
	require.False(t, sqldb.IsConnectionLost(err))
	require.True(t, sqldb.IsServerError(err))
}

func TestDatabaseThatIsNotThere(t *testing.T) {
	_, err := sqldb.Open(t.Context(), sqldb.Config{URL: "postgres://u:sesame@127.0.0.1:1/db", ConnectTimeout: time.Second})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "sesame")
	require.False(t, sqldb.IsConnectionLost(err), "nothing was sent")
}

func TestClosedDatabase(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		require.NoError(t, db.Close())
		_, err := db.Exec(t.Context(), "SELECT 1")
		require.Error(t, err)
		require.Error(t, db.QueryRow(t.Context(), "SELECT 1").Scan(new(int)))
	})
}

func TestPostgresConnectionsMayBeEndedWhileIdle(t *testing.T) {
	url := pgtest.Start(t)
	db, admin := open(t, url), open(t, url)
	migrate(t, db)
	for i := range 20 {
		_, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		require.NoError(t, err)
		if i%2 == 0 {
			require.NoError(t, db.Write(t.Context(), func(ctx context.Context, tx sqldb.Tx) error {
				_, err := tx.Exec(ctx, insertThing, fmt.Sprint(i), i, []byte("x"), false, nil)
				return err
			}))
		}
		var one int
		require.NoError(t, db.QueryRow(t.Context(), "SELECT 1").Scan(&one))
		require.Equal(t, 1, one)

		rows, err := db.Query(t.Context(), "SELECT n FROM generate_series(1, 3) AS n")
		require.NoError(t, err)
		n := 0
		for rows.Next() {
			n++
		}
		require.NoError(t, rows.Err())
		require.Equal(t, 3, n)
	}
	require.Error(t, db.QueryRow(t.Context(), "SELECT no_such_column").Scan(new(int)))
	_, err := db.Exec(t.Context(), "SELECT 1")
	require.NoError(t, err)
}
