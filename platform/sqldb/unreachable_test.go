package sqldb_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/platform/sqldb"
	"hongyan/test/pgtest"
)

// Whatever is asked of a server that has crashed says that it may be asked again, and works when the server is back.
func TestServerCrashes(t *testing.T) {
	server := pgtest.StartServer(t)
	db := open(t, server.Database())
	migrate(t, db)
	ask := map[string]func(ctx context.Context) error{
		"query": func(ctx context.Context) error {
			rows, err := db.Query(ctx, "SELECT name FROM test_thing")
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				t.Error("there are no things")
			}
			return rows.Err()
		},
		"query one row": func(ctx context.Context) error {
			var n int
			return db.QueryRow(ctx, "SELECT count(*) FROM test_thing").Scan(&n)
		},
		"statement": func(ctx context.Context) error {
			_, err := db.Exec(ctx, "UPDATE test_thing SET size = 1")
			return err
		},
		"transaction": func(ctx context.Context) error {
			return db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
				_, err := tx.Exec(ctx, "UPDATE test_thing SET size = 2")
				return err
			})
		},
		"snapshot": func(ctx context.Context) error {
			return db.View(ctx, func(ctx context.Context, q sqldb.Querier) error {
				var n int
				return q.QueryRow(ctx, "SELECT count(*) FROM test_thing").Scan(&n)
			})
		},
	}
	for name, do := range ask {
		require.NoError(t, do(t.Context()), name)
	}
	require.NoError(t, server.Kill())
	for name, do := range ask {
		for range 2 { // over a connection that was there, and over a new one
			err := do(t.Context())
			require.Error(t, err, name)
			require.Equal(t, 503, matrix.AsError(err).Status, "%s: %v", name, err)
		}
	}
	require.NoError(t, server.Up())
	for name, do := range ask {
		require.Eventually(t, func() bool { return do(t.Context()) == nil }, time.Minute, 20*time.Millisecond, name)
	}
	_, err := db.Exec(t.Context(), "SELECT nothing FROM nowhere")
	require.Equal(t, 500, matrix.AsError(err).Status, "a mistake stays one: %v", err)
}
