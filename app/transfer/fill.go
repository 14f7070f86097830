package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// Target is where a service's rows are to go.
type Target struct {
	Service string
	// Open opens the database, with sqldb.Config.UpTo.
	Open func(ctx context.Context, upTo map[string]int64) (*sqldb.DB, error)
	// Migrate brings its schema up to date.
	Migrate func(ctx context.Context, db *sqldb.DB) error
	// Started are the tables that have rows after the first start of a server, besides those of logs and leases.
	Started []string
}

// ErrNotEmpty says that there is something where a deployment is to be filled.
var ErrNotEmpty = errors.New("it is in use already: this wants an empty one, and overwrites nothing")

// ErrMoved says that databases were moved before.
var ErrMoved = errors.New("everything was moved already")

// destination fills the databases of a deployment.
type destination struct {
	src      source
	targets  []Target
	what     string
	progress Progress
	// done, where set, runs when everything is there, before the marks go. It may run again.
	done func(ctx context.Context) error
	// renew gives the logs new epochs.
	renew bool
	// finish forbids to fill anything: only what an earlier run has left behind may be finished.
	finish bool
	// anew demands to fill everything: since an earlier run, the rows may have become others.
	anew bool
}

// run fills all databases, or finishes what an earlier run has left behind.
func (d *destination) run(ctx context.Context) error {
	marks, err := d.look(ctx)
	if d.finish && errors.Is(err, ErrNotEmpty) {
		return ErrMoved
	}
	if err != nil {
		return err
	}
	// When the first mark says "filled", no database is left that says "filling".
	whole := slices.Contains(marks, mark{filled, d.what}) &&
		!slices.ContainsFunc(marks, func(m mark) bool { return m.state != "" && m != mark{filled, d.what} })
	if !whole && d.finish {
		return ErrMoved
	}
	if !whole || d.anew {
		if err := d.fillAll(ctx, marks); err != nil {
			return err
		}
	}
	if d.done != nil {
		if err := d.done(ctx); err != nil {
			return err
		}
	}
	return d.each(ctx, nil, func(ctx context.Context, _ Service, db *sqldb.DB) error { return removeMark(ctx, db) })
}

// each opens the database of each service and calls f with it. Of schemas no later versions are made than upTo says.
func (d *destination) each(
	ctx context.Context, upTo func(Service) map[string]int64, f func(ctx context.Context, s Service, db *sqldb.DB) error,
) error {
	for _, s := range d.src.services() {
		t, err := d.target(s.Name)
		if err != nil {
			return err
		}
		var versions map[string]int64
		if upTo != nil {
			versions = upTo(s)
		}
		db, err := t.Open(ctx, versions)
		if err != nil {
			return err
		}
		err = f(ctx, s, db)
		if err = errors.Join(err, db.Close()); err != nil {
			return fmt.Errorf("database of %s: %w", s.Name, err)
		}
	}
	return nil
}

func (d *destination) target(service string) (Target, error) {
	i := slices.IndexFunc(d.targets, func(t Target) bool { return t.Service == service })
	if i < 0 {
		return Target{}, fmt.Errorf("this program has no service %q: it is older than what the rows come from", service)
	}
	return d.targets[i], nil
}

// fillAll fills the databases and brings them up to date. before are the marks that they have.
func (d *destination) fillAll(ctx context.Context, before []mark) error {
	if err := d.claim(ctx, before); err != nil {
		return err
	}
	asBefore := func(s Service) map[string]int64 { return s.Versions }
	err := d.each(ctx, asBefore, func(ctx context.Context, s Service, db *sqldb.DB) error {
		t, err := d.target(s.Name)
		if err != nil {
			return err
		}
		if err := t.Migrate(ctx, db); err != nil {
			return err
		}
		return d.fill(ctx, s, db)
	})
	if err != nil {
		return err
	}
	if err := d.src.end(); err != nil {
		return err
	}
	err = d.each(ctx, nil, func(ctx context.Context, s Service, db *sqldb.DB) error {
		t, err := d.target(s.Name)
		if err != nil {
			return err
		}
		return t.Migrate(ctx, db)
	})
	if err != nil {
		return err
	}
	if d.renew {
		if err := d.renewAll(ctx); err != nil {
			return err
		}
	}
	return d.setMarks(ctx, filled)
}

// renewAll gives all logs new epochs.
func (d *destination) renewAll(ctx context.Context) (err error) {
	var all []*sqldb.DB
	defer func() {
		for _, db := range all {
			err = errors.Join(err, db.Close())
		}
	}()
	for _, s := range d.src.services() {
		t, err := d.target(s.Name)
		if err != nil {
			return err
		}
		db, err := t.Open(ctx, nil)
		if err != nil {
			return err
		}
		all = append(all, db)
	}
	return eventlog.Renew(ctx, all)
}

// fill replaces what is in the tables of one database, and checks what is there then, in one transaction.
func (d *destination) fill(ctx context.Context, s Service, db *sqldb.DB) error {
	tables, err := matching(ctx, s, db)
	if err != nil {
		return err
	}
	err = db.Fill(ctx, func(ctx context.Context, f sqldb.Filling) error {
		written, err := d.write(ctx, s, tables, f)
		if err != nil {
			return err
		}
		return d.check(ctx, s, tables, f, written)
	})
	for _, t := range tables {
		if err == nil {
			err = db.Analyze(ctx, t)
		}
	}
	return err
}

// write replaces the rows of all tables.
func (d *destination) write(
	ctx context.Context, s Service, tables map[string]sqldb.Table, f sqldb.Filling,
) (written tally, err error) {
	for _, t := range tables {
		if err := f.Clear(ctx, t); err != nil {
			return nil, err
		}
	}
	written = tally{}
	var buf []byte
	err = d.src.read(ctx, s, func(t sqldb.Table, rows [][]any) (err error) {
		d.progress.step("fill", s.Name, t.Name, len(rows))
		if buf, err = written.addAll(buf, s.Name, t.Name, rows); err != nil {
			return err
		}
		return f.Insert(ctx, tables[t.Name], rows)
	})
	for _, t := range tables {
		if err == nil {
			err = f.Number(ctx, t)
		}
	}
	return written, err
}

// check reads what was written.
func (d *destination) check(
	ctx context.Context, s Service, tables map[string]sqldb.Table, q sqldb.Querier, written tally,
) error {
	have := tally{}
	var buf []byte
	for _, t := range tables {
		err := readTable(ctx, q, t, func(t sqldb.Table, rows [][]any) (err error) {
			d.progress.step("check", s.Name, t.Name, len(rows))
			buf, err = have.addAll(buf, s.Name, t.Name, rows)
			return err
		})
		if err != nil {
			return err
		}
		if key := tallyKey(s.Name, t.Name); written[key] != have[key] {
			return fmt.Errorf("table %s: it holds %d rows, other ones than the %d that were written",
				t.Name, have[key].Rows, written[key].Rows)
		}
	}
	return nil
}

// matching returns the target's tables for those of the source, by name, with the columns in the source's order. It fails
// when they are not the same.
func matching(ctx context.Context, s Service, db *sqldb.DB) (map[string]sqldb.Table, error) {
	versions, err := db.Versions(ctx, db)
	if err != nil {
		return nil, err
	}
	for name, version := range s.Versions {
		if versions[name] != version {
			return nil, fmt.Errorf("schema %s has version %d where the rows come from, and this program made version %d: "+
				"use a program that is at least as new, and an empty database", name, version, versions[name])
		}
	}
	all, err := db.Tables(ctx, db)
	if err != nil {
		return nil, err
	}
	tables := map[string]sqldb.Table{}
	for _, want := range s.Tables {
		i := slices.IndexFunc(all, func(t sqldb.Table) bool { return t.Name == want.Name })
		if i < 0 {
			return nil, fmt.Errorf("there is no table %s for that of the same name", want.Name)
		}
		t, err := arrange(all[i], want)
		if err != nil {
			return nil, err
		}
		tables[t.Name] = t
	}
	return tables, nil
}

// arrange returns table have with its columns in the order of want's.
func arrange(have, want sqldb.Table) (sqldb.Table, error) {
	if len(have.Columns) != len(want.Columns) {
		return sqldb.Table{}, fmt.Errorf("table %s has %d columns, and %d where the rows come from",
			have.Name, len(have.Columns), len(want.Columns))
	}
	t := sqldb.Table{Name: have.Name}
	for _, w := range want.Columns {
		i := slices.IndexFunc(have.Columns, func(c sqldb.TableColumn) bool { return c.Name == w.Name })
		if i < 0 || number(have.Columns[i].Kind) != number(w.Kind) {
			return sqldb.Table{}, fmt.Errorf("table %s has no column %s of kind %s", have.Name, w.Name, w.Kind)
		}
		t.Columns = append(t.Columns, have.Columns[i])
	}
	return t, nil
}

// number makes booleans the integers that SQLite has for them.
func number(k sqldb.Kind) sqldb.Kind {
	if k == sqldb.KindBool {
		return sqldb.KindInt
	}
	return k
}
