package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"hongyan/platform/sqldb"
	"hongyan/test/pgtest"
)

// onBoth runs a test on a fresh database of each kind.
func onBoth(t *testing.T, test func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, open(t, "sqlite:"+filepath.Join(t.TempDir(), "a b?.db"))) })
	t.Run("postgres", func(t *testing.T) { test(t, open(t, pgtest.Start(t))) })
}

func open(t *testing.T, url string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: url})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

var migrations = fstest.MapFS{"0001_first.sql": {Data: []byte(`-- +goose Up
CREATE TABLE {p}_thing (
	id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- postgres
	id INTEGER PRIMARY KEY,                             -- sqlite
	name TEXT NOT NULL UNIQUE,
	size BIGINT NOT NULL,
	body BYTEA NOT NULL,
	flag BOOLEAN NOT NULL,
	note TEXT
);
`)}}

func migrate(t *testing.T, db *sqldb.DB) {
	t.Helper()
	m := sqldb.Migration{Name: "test", Files: migrations, Replace: []string{"{p}", "test"}}
	require.NoError(t, db.Migrate(t.Context(), m))
	require.NoError(t, db.Migrate(t.Context(), m), "a second time there is nothing to do")
}

const insertThing = "INSERT INTO test_thing (name, size, body, flag, note) VALUES ($1, $2, $3, $4, $5)"

func TestValuesComeBackAsTheyWere(t *testing.T) {
	type name string
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		migrate(t, db)
		note := "häng$1'yän"
		n, err := db.Exec(t.Context(), insertThing, name("a"), int64(1)<<60, []byte{0, 255}, true, &note)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		_, err = db.Exec(t.Context(), insertThing, "b", 7, []byte{}, false, nil)
		require.NoError(t, err)

		rows, err := db.Query(t.Context(), `SELECT name, size, body, flag, note, '$9' FROM test_thing
			WHERE name = ANY($1)                            -- postgres
			WHERE name IN (SELECT value FROM json_each($1)) -- sqlite
			ORDER BY name`, []string{"a", "b", "c"})
		require.NoError(t, err)
		defer rows.Close()
		var got []string
		for rows.Next() {
			var (
				n     name
				size  int64
				body  []byte
				flag  bool
				note  *string
				plain string
			)
			require.NoError(t, rows.Scan(&n, &size, &body, &flag, &note, &plain))
			got = append(got, fmt.Sprintf("%s %d %x %t %t %s", n, size, body, flag, note == nil, plain))
		}
		require.NoError(t, rows.Err())
		require.Equal(t, []string{"a 1152921504606846976 00ff true false $9", "b 7  false true $9"}, got)

		var back string
		require.NoError(t, db.QueryRow(t.Context(), "SELECT note FROM test_thing WHERE name = $2 AND size <> $1", 3, "a").Scan(&back))
		require.Equal(t, note, back)
		require.ErrorIs(t, db.QueryRow(t.Context(), "SELECT 1 FROM test_thing WHERE size = 3").Scan(new(int)), sqldb.ErrNoRows)
	})
}

func TestWriteIsAllOrNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		migrate(t, db)
		boom := errors.New("boom")
		// Many at once, so that on SQLite they share transactions: those that fail take none of the others with them.
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				err := db.Write(t.Context(), func(ctx context.Context, tx sqldb.Tx) error {
					if _, err := tx.Exec(ctx, insertThing, fmt.Sprint(i), i, []byte("x"), false, nil); err != nil {
						return err
					}
					if i%3 == 0 {
						return boom
					}
					return nil
				})
				if i%3 == 0 {
					require.ErrorIs(t, err, boom)
				} else {
					require.NoError(t, err)
				}
			})
		}
		wg.Wait()
		var all, wrong int
		require.NoError(t, db.QueryRow(t.Context(), "SELECT count(*) FROM test_thing").Scan(&all))
		require.NoError(t, db.QueryRow(t.Context(), "SELECT count(*) FROM test_thing WHERE size % 3 = 0").Scan(&wrong))
		require.Equal(t, 66, all)
		require.Zero(t, wrong)

		_, err := db.Exec(t.Context(), insertThing, "1", 1, []byte("x"), false, nil)
		require.True(t, sqldb.IsUniqueViolation(err), "%v", err)
		require.False(t, sqldb.IsRetryable(err))
		require.False(t, sqldb.IsConnectionLost(err))
	})
}

func TestPanicReachesTheCallerAndWritesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		migrate(t, db)
		require.PanicsWithValue(t, "oh", func() {
			_ = db.Write(t.Context(), func(ctx context.Context, tx sqldb.Tx) error {
				_, err := tx.Exec(ctx, insertThing, "a", 1, []byte("x"), false, nil)
				require.NoError(t, err)
				panic("oh")
			})
		})
		var all int
		require.NoError(t, db.QueryRow(t.Context(), "SELECT count(*) FROM test_thing").Scan(&all))
		require.Zero(t, all)
	})
}

func TestViewSeesOneMoment(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		migrate(t, db)
		err := db.View(t.Context(), func(ctx context.Context, q sqldb.Querier) error {
			var before, after int
			require.NoError(t, q.QueryRow(ctx, "SELECT count(*) FROM test_thing").Scan(&before))
			_, err := db.Exec(ctx, insertThing, "a", 1, []byte("x"), false, nil)
			require.NoError(t, err)
			require.NoError(t, q.QueryRow(ctx, "SELECT count(*) FROM test_thing").Scan(&after))
			require.Equal(t, before, after)
			return nil
		})
		require.NoError(t, err)
	})
}

func TestContextEndsAWaitingCall(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, db.QueryRow(ctx, "SELECT 1").Scan(new(int)), context.Canceled)
		err := db.Write(ctx, func(context.Context, sqldb.Tx) error { return nil })
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestConfigHidesThePassword(t *testing.T) {
	for _, url := range []string{"postgres://u:sesame@h/db", "postgres://u@h/db?password=sesame"} {
		cfg := sqldb.Config{URL: url}
		for _, text := range []string{fmt.Sprint(cfg), fmt.Sprintf("%#v", cfg), fmt.Sprintf("%+v", cfg)} {
			require.NotContains(t, text, "sesame")
		}
	}
	require.ErrorContains(t, sqldb.Config{URL: "mysql://x"}.Validate(), "neither")
	require.ErrorContains(t, sqldb.Config{URL: "sqlite:"}.Validate(), "no file")
}
