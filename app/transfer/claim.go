package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"hongyan/platform/eventlog"
	"hongyan/platform/lease"
	"hongyan/platform/sqldb"
)

// look reads the databases' marks, and fails where one is in use: has rows but no mark, or sessions of a server.
func (d *destination) look(ctx context.Context) (marks []mark, err error) {
	var used error
	err = d.each(ctx, nil, func(ctx context.Context, s Service, db *sqldb.DB) error {
		if err := RefuseConnected(ctx, db); err != nil {
			return err
		}
		m, err := readMark(ctx, db, db)
		if err != nil {
			return err
		}
		marks = append(marks, m)
		if m.unfinished() {
			return nil
		}
		if err := m.refusal(); err != nil {
			return err
		}
		t, err := d.target(s.Name)
		if err != nil {
			return err
		}
		if err := t.requireUnused(ctx, db); err != nil && used == nil {
			used = fmt.Errorf("database of %s: %w", s.Name, err)
		}
		return nil
	})
	if err == nil && used != nil && (d.anew || !slices.Contains(marks, mark{filled, d.what})) {
		return nil, used
	}
	return marks, err
}

// requireUnused fails when a database holds more than the first start of a server leaves behind.
func (t Target) requireUnused(ctx context.Context, db *sqldb.DB) error {
	tables, err := db.Tables(ctx, db)
	if err != nil {
		return err
	}
	for _, table := range tables {
		some, err := table.HasRows(ctx, db)
		if err != nil {
			return err
		}
		if !some || lease.IsTable(table.Name) || slices.Contains(t.Started, table.Name) {
			continue
		}
		unused, err := eventlog.IsUnused(ctx, db, tables, table.Name)
		if err != nil {
			return err
		}
		if !unused {
			return fmt.Errorf("table %s has rows: %w", table.Name, ErrNotEmpty)
		}
	}
	return nil
}

func (d *destination) setMarks(ctx context.Context, state string) error {
	return d.each(ctx, nil, func(ctx context.Context, _ Service, db *sqldb.DB) error {
		return setMark(ctx, db, mark{state, d.what})
	})
}

// claim keeps servers from the databases, and fails when one came before that. before are the marks that they had.
func (d *destination) claim(ctx context.Context, before []mark) error {
	if err := d.setMarks(ctx, filling); err != nil {
		return err
	}
	err := d.each(ctx, nil, func(ctx context.Context, _ Service, db *sqldb.DB) error { return RefuseConnected(ctx, db) })
	if err == nil || slices.ContainsFunc(before, func(m mark) bool { return m != mark{} }) {
		return err
	}
	return errors.Join(err, d.each(ctx, nil, func(ctx context.Context, _ Service, db *sqldb.DB) error { return removeMark(ctx, db) }))
}
