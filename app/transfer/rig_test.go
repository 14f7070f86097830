package transfer_test

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/app/transfer"
	"hongyan/platform/eventlog"
	"hongyan/platform/lease"
	"hongyan/platform/sqldb"
	"hongyan/test/pgtest"
)

const thingsSQL = `-- +goose Up
CREATE TABLE thing (
	id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- postgres
	id INTEGER PRIMARY KEY,                             -- sqlite
	name TEXT,
	key BYTEA,
	flag BOOLEAN NOT NULL,
	size BIGINT,
	weight DOUBLE PRECISION -- postgres
	weight REAL             -- sqlite
);
CREATE TABLE no_thing (x BIGINT PRIMARY KEY);
CREATE TABLE begun (x BIGINT PRIMARY KEY);
`

// laterSQL is what a later version of the program makes of thing: what is there must be there when it runs.
const laterSQL = `-- +goose Up
ALTER TABLE thing ADD COLUMN note TEXT NOT NULL DEFAULT 'new';
UPDATE thing SET note = 'was ' || id;
`

// migrate is the migration of a service "b"; "a" follows its log and has nothing else.
func migrate(service string, version int) func(context.Context, *sqldb.DB) error {
	return func(ctx context.Context, db *sqldb.DB) error {
		if service == "a" {
			if _, err := eventlog.OpenCursors(ctx, db, "mine"); err != nil {
				return err
			}
			_, err := lease.Open(ctx, db, "mine", lease.Config{})
			return err
		}
		files := fstest.MapFS{"0001_thing.sql": {Data: []byte(thingsSQL)}}
		if version > 1 {
			files["0002_later.sql"] = &fstest.MapFile{Data: []byte(laterSQL)}
		}
		if err := db.Migrate(ctx, sqldb.Migration{Name: "things", Files: files}); err != nil {
			return err
		}
		_, err := eventlog.Open(ctx, db, eventlog.Schema{Name: "facts", Shards: 4}, eventlog.Config{})
		return err
	}
}

// deployment is where two services keep their data.
type deployment struct {
	t       *testing.T
	urls    map[string]string
	version int
}

func newDeployment(t *testing.T, kind string) *deployment {
	d := &deployment{t: t, urls: map[string]string{}, version: 1}
	dir := t.TempDir()
	for _, service := range []string{"a", "b"} {
		d.urls[service] = "sqlite:" + filepath.Join(dir, service+".db")
		if kind == "postgres" {
			d.urls[service] = pgtest.Start(t)
		}
	}
	return d
}

// open opens the databases, followers first.
func (d *deployment) open() []transfer.Database {
	d.t.Helper()
	var all []transfer.Database
	for _, service := range []string{"a", "b"} {
		db, err := sqldb.Open(d.t.Context(), sqldb.Config{URL: d.urls[service], Application: "test", IdleTxTimeout: time.Hour})
		require.NoError(d.t, err)
		all = append(all, transfer.Database{Service: service, DB: db})
	}
	return all
}

// with calls f with open databases.
func (d *deployment) with(f func(all []transfer.Database)) {
	d.t.Helper()
	all := d.open()
	defer func() {
		for _, one := range all {
			require.NoError(d.t, one.DB.Close())
		}
	}()
	f(all)
}

func (d *deployment) targets() []transfer.Target {
	var all []transfer.Target
	for service, url := range d.urls {
		all = append(all, transfer.Target{
			Service: service, Migrate: migrate(service, d.version), Started: []string{"begun"},
			Open: func(ctx context.Context, upTo map[string]int64) (*sqldb.DB, error) {
				return sqldb.Open(ctx, sqldb.Config{URL: url, Application: "test", UpTo: upTo})
			},
		})
	}
	return all
}

// fill makes n random things, entries in the log's shards, and a cursor in it.
func (d *deployment) fill(n int) {
	d.t.Helper()
	d.with(func(all []transfer.Database) {
		ctx := d.t.Context()
		for _, one := range all {
			require.NoError(d.t, migrate(one.Service, d.version)(ctx, one.DB))
		}
		a, b := all[0].DB, all[1].DB
		table := tableOf(d.t, b, "thing")
		require.NoError(d.t, b.Fill(ctx, func(ctx context.Context, f sqldb.Filling) error {
			return f.Insert(ctx, table, randomThings(n))
		}))
		log, err := eventlog.Open(ctx, b, eventlog.Schema{Name: "facts"}, eventlog.Config{})
		require.NoError(d.t, err)
		_, err = log.Stream(ctx, "!room")
		require.NoError(d.t, err)
		_, err = b.Exec(ctx, "UPDATE facts_shard SET head = 10 + shard")
		require.NoError(d.t, err)
		cursors, err := eventlog.OpenCursors(ctx, a, "mine")
		require.NoError(d.t, err)
		require.NoError(d.t, cursors.Set(ctx, "a", log.Epoch(), 2, 11))
		_, err = a.Exec(ctx, "INSERT INTO mine_lease (name, holder, until_ms) VALUES ('a', 'somebody', $1)", int64(math.MaxInt64>>2))
		require.NoError(d.t, err)
	})
}

func randomThings(n int) (rows [][]any) {
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"", "a", "雁", "\U0001F426", "e\u0301", "\n\t", "'\"$1?", "\u202e", strings.Repeat("x", 300)}
	bodies := [][]byte{{}, {0}, {0, 0xff, 0}, []byte("NULL"), bytes.Repeat([]byte{7}, 5000)}
	numbers := []int64{0, 1, -1, math.MaxInt64, math.MinInt64, 1 << 53, -(1 << 53) - 1}
	floats := []float64{0, 1.5, -1e300, math.SmallestNonzeroFloat64, math.MaxFloat64}
	for i := range n {
		row := []any{int64(i + 1), pieces[r.IntN(len(pieces))] + pieces[r.IntN(len(pieces))], bodies[r.IntN(len(bodies))],
			r.IntN(2) == 0, numbers[r.IntN(len(numbers))], floats[r.IntN(len(floats))]}
		for _, nullable := range []int{1, 2, 4, 5} {
			if r.IntN(5) == 0 {
				row[nullable] = nil
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func tableOf(t *testing.T, db *sqldb.DB, name string) sqldb.Table {
	t.Helper()
	tables, err := db.Tables(t.Context(), db)
	require.NoError(t, err)
	i := slices.IndexFunc(tables, func(t sqldb.Table) bool { return t.Name == name })
	require.GreaterOrEqual(t, i, 0, "table %s", name)
	return tables[i]
}

// things reads all things in order, with booleans as booleans.
func (d *deployment) things() (rows [][]any) {
	d.t.Helper()
	d.with(func(all []transfer.Database) {
		db := all[1].DB
		err := tableOf(d.t, db, "thing").Read(d.t.Context(), db, func(row []any) error {
			if n, ok := row[3].(int64); ok {
				row[3] = n != 0
			}
			rows = append(rows, row)
			return nil
		})
		require.NoError(d.t, err)
	})
	slices.SortFunc(rows, func(a, b []any) int { return int(a[0].(int64) - b[0].(int64)) })
	return rows
}

// epochs are those of the log and of the cursor in it, with where that stands.
func (d *deployment) epochs() (log, cursor uint64, position int64) {
	d.t.Helper()
	d.with(func(all []transfer.Database) {
		var e, c int64
		require.NoError(d.t, all[1].DB.QueryRow(d.t.Context(), "SELECT epoch FROM facts_meta").Scan(&e))
		require.NoError(d.t, all[0].DB.QueryRow(d.t.Context(), "SELECT epoch, position FROM mine_cursor").Scan(&c, &position))
		log, cursor = uint64(e), uint64(c)
	})
	return log, cursor, position
}

// usable tells whether servers may use all databases.
func (d *deployment) usable() error {
	d.t.Helper()
	var refused error
	d.with(func(all []transfer.Database) {
		for _, one := range all {
			if err := transfer.Refuse(d.t.Context(), one.DB); err != nil {
				refused = err
			}
		}
	})
	return refused
}

// backup makes an archive.
func (d *deployment) backup() []byte {
	d.t.Helper()
	var out bytes.Buffer
	d.with(func(all []transfer.Database) {
		_, err := transfer.Backup(d.t.Context(), &out, all, transfer.Header{Program: "test", ServerName: "x.org", CreatedMS: 1}, []byte("key"), nil)
		require.NoError(d.t, err)
	})
	return out.Bytes()
}

func (d *deployment) restore(archive []byte) error {
	info, err := transfer.Verify(d.t.Context(), bytes.NewReader(archive), nil)
	if err != nil {
		return err
	}
	return transfer.Restore(d.t.Context(), bytes.NewReader(archive), info, d.targets(), nil, nil)
}
