package sqldb_test

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"hongyan/platform/sqldb"
	"hongyan/test/pgtest"
)

const thingsSQL = `-- +goose Up
CREATE TABLE thing (
	id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- postgres
	id INTEGER PRIMARY KEY,                             -- sqlite
	name TEXT COLLATE "C",
	key BYTEA,
	flag BOOLEAN NOT NULL,
	weight DOUBLE PRECISION -- postgres
	weight REAL             -- sqlite
);
`

func things(upTo int64) sqldb.Migration {
	files := fstest.MapFS{"0001_thing.sql": {Data: []byte(thingsSQL)}}
	if upTo > 1 {
		files["0002_more.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE another (x BIGINT PRIMARY KEY);\n")}
	}
	return sqldb.Migration{Name: "things", Files: files}
}

var rowsOfThings = [][]any{
	{int64(1), "plain", []byte("bytes"), true, 0.5},
	{int64(2), "", []byte{}, false, math.MaxFloat64},
	{int64(3), nil, nil, true, nil},
	{int64(math.MaxInt64 - 1), "雁 \U0001F426 e\u0301", []byte{0, 1, 0xff, 0}, false, -1e-300},
	{int64(math.MinInt64), strings.Repeat("x", 70_000), []byte(strings.Repeat("\x00", 70_000)), false, 1.0},
}

func openWith(t *testing.T, cfg sqldb.Config) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// urls are those of a fresh database of each kind.
func urls(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "a b?.db"), "postgres": pgtest.Start(t)}
}

func all(t *testing.T, db *sqldb.DB, table sqldb.Table) (rows [][]any) {
	t.Helper()
	require.NoError(t, db.View(t.Context(), func(ctx context.Context, q sqldb.Querier) error {
		return table.Read(ctx, q, func(row []any) error {
			rows = append(rows, row)
			return nil
		})
	}))
	slices.SortFunc(rows, func(a, b []any) int {
		if a[0].(int64) < b[0].(int64) {
			return -1
		}
		return 1
	})
	return rows
}

func thing(t *testing.T, db *sqldb.DB) sqldb.Table {
	t.Helper()
	tables, err := db.Tables(t.Context(), db)
	require.NoError(t, err)
	require.Equal(t, "thing", tables[0].Name)
	return tables[0]
}

func TestTablesAreListedFilledAndRead(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		require.NoError(t, db.Migrate(t.Context(), things(1)))
		table := thing(t, db)
		postgres := db.Dialect() == sqldb.Postgres
		flag := sqldb.KindInt
		if postgres {
			flag = sqldb.KindBool
		}
		require.Equal(t, sqldb.Table{Name: "thing", Columns: []sqldb.TableColumn{
			{Name: "id", Kind: sqldb.KindInt, Identity: postgres}, {Name: "name", Kind: sqldb.KindText},
			{Name: "key", Kind: sqldb.KindBytes}, {Name: "flag", Kind: flag}, {Name: "weight", Kind: sqldb.KindFloat},
		}}, table)
		for name, want := range map[string]bool{"thing": true, "thin": false} {
			there, err := db.HasTable(t.Context(), db, name)
			require.NoError(t, err)
			require.Equal(t, want, there, name)
		}
		some, err := table.HasRows(t.Context(), db)
		require.NoError(t, err)
		require.False(t, some)
		positive := rowsOfThings[:4]
		require.NoError(t, db.Fill(t.Context(), func(ctx context.Context, f sqldb.Filling) error {
			return f.Insert(ctx, table, rowsOfThings[4:])
		}))
		require.NoError(t, db.Fill(t.Context(), func(ctx context.Context, f sqldb.Filling) error {
			if err := f.Clear(ctx, table); err != nil {
				return err
			}
			if err := f.Insert(ctx, table, slices.Repeat(positive, 1)); err != nil {
				return err
			}
			if err := f.Insert(ctx, table, rowsOfThings[4:]); err != nil {
				return err
			}
			return f.Number(ctx, table)
		}))
		want := slices.Concat(rowsOfThings[4:], positive)
		for i := range want {
			want[i] = slices.Clone(want[i])
			if !postgres {
				want[i][3] = map[bool]int64{true: 1}[want[i][3].(bool)]
			}
		}
		require.Equal(t, want, all(t, db, table))

		// What is numbered goes on.
		_, err = db.Exec(t.Context(), `INSERT INTO thing (flag) VALUES ($1)`, true)
		require.NoError(t, err)
		rows := all(t, db, table)
		require.Equal(t, int64(math.MaxInt64), rows[len(rows)-1][0])
	})
}

func TestManyRowsAreFilledAsAWhole(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		require.NoError(t, db.Migrate(t.Context(), things(1)))
		table := thing(t, db)
		var rows [][]any
		for i := range 100 {
			rows = append(rows, []any{int64(i + 1), "n", []byte("k"), int64(i % 2), 1.5})
		}
		failed := errors.New("it ends here")
		err := db.Fill(t.Context(), func(ctx context.Context, f sqldb.Filling) error {
			return errors.Join(f.Insert(ctx, table, rows), failed)
		})
		require.ErrorIs(t, err, failed)
		require.Empty(t, all(t, db, table))
		require.NoError(t, db.Fill(t.Context(), func(ctx context.Context, f sqldb.Filling) error {
			return f.Insert(ctx, table, rows)
		}))
		require.Len(t, all(t, db, table), 100)
		err = db.Fill(t.Context(), func(ctx context.Context, f sqldb.Filling) error {
			return f.Insert(ctx, table, [][]any{{int64(200), []int64{1}, nil, true, nil}})
		})
		require.ErrorContains(t, err, "fill table thing: column name: a value of type []int64 is no text")
	})
}

func TestPostgresSaysWhichTextItCannotHold(t *testing.T) {
	db := openWith(t, sqldb.Config{URL: pgtest.Start(t)})
	require.NoError(t, db.Migrate(t.Context(), things(1)))
	for _, text := range []string{"a\x00b", "a\xffb"} {
		err := db.Fill(t.Context(), func(ctx context.Context, f sqldb.Filling) error {
			return f.Insert(ctx, thing(t, db), [][]any{{int64(7), text, nil, true, nil}})
		})
		require.ErrorContains(t, err, `fill table thing: column name: PostgreSQL cannot hold the text`)
		require.ErrorContains(t, err, `in the row of "7"`)
	}
}

func TestMigrationsMayStopAtAVersion(t *testing.T) {
	for name, url := range urls(t) {
		t.Run(name, func(t *testing.T) {
			db := openWith(t, sqldb.Config{URL: url, UpTo: map[string]int64{"things": 1}})
			require.NoError(t, db.Migrate(t.Context(), things(2)))
			versions, err := db.Versions(t.Context(), db)
			require.NoError(t, err)
			require.Equal(t, map[string]int64{"things": 1}, versions)
			require.NoError(t, db.Close())
			db = openWith(t, sqldb.Config{URL: url})
			require.NoError(t, db.Migrate(t.Context(), things(2)))
			versions, err = db.Versions(t.Context(), db)
			require.NoError(t, err)
			require.Equal(t, map[string]int64{"things": 2}, versions)
			tables, err := db.Tables(t.Context(), db)
			require.NoError(t, err)
			require.Len(t, tables, 2)
		})
	}
}

func TestReadOnly(t *testing.T) {
	for name, url := range urls(t) {
		t.Run(name, func(t *testing.T) {
			writer := openWith(t, sqldb.Config{URL: url})
			require.NoError(t, writer.Migrate(t.Context(), things(1)))
			reader := openWith(t, sqldb.Config{URL: url, ReadOnly: true, Application: "reader"})
			_, err := writer.Exec(t.Context(), `INSERT INTO thing (flag) VALUES ($1)`, true)
			require.NoError(t, err)
			require.Len(t, all(t, reader, thing(t, reader)), 1)
			_, err = reader.Exec(t.Context(), `INSERT INTO thing (flag) VALUES ($1)`, true)
			require.Error(t, err)
			require.Error(t, reader.Migrate(t.Context(), things(2)))
			require.Len(t, all(t, writer, thing(t, writer)), 1)
			others, err := reader.Others(t.Context())
			require.NoError(t, err)
			require.Equal(t, writer.Dialect() == sqldb.Postgres, others > 0, "the writer is seen where nothing is locked")
		})
	}
	_, err := sqldb.Open(t.Context(), sqldb.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "none.db"), ReadOnly: true})
	require.ErrorContains(t, err, "no such file")
}

func TestTypesThatAreNotTheHousesAreRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		_, err := db.Exec(t.Context(), `CREATE TABLE odd (id BIGINT PRIMARY KEY, at TIMESTAMP)`)
		require.NoError(t, err)
		_, err = db.Tables(t.Context(), db)
		require.ErrorContains(t, err, "column at of table odd")
	})
}
