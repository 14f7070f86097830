package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hongyan/app/transfer"
	"hongyan/platform/sqldb"
)

// giveUpTimeout bounds the way back of a migration that has failed.
const giveUpTimeout = 15 * time.Second

// guard keeps servers from the source while it is copied: those that start find the marks, and those that were there before
// the marks are seen now. Databases in the data directory need none of it, since its lock is held.
func (m *migration) guard(ctx context.Context) error {
	if m.moved {
		return nil
	}
	m.guarded = true
	for _, service := range m.marked() {
		if err := m.mark(ctx, service, transfer.MarkMoving); err != nil {
			return err
		}
	}
	return m.refuseConnected(ctx)
}

// giveUp gives the source back to servers when the migration has failed. When it was being marked as moved it stays as it
// is: everything is in the target, and another run ends what this one has not.
func (m *migration) giveUp(ctx context.Context) error {
	if !m.guarded || m.finishing {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTimeout)
	defer cancel()
	var errs []error
	for _, service := range m.marked() {
		err := m.mark(ctx, service, func(ctx context.Context, db *sqldb.DB, _ string) error { return transfer.EndMoving(ctx, db) })
		if err != nil {
			errs = append(errs, fmt.Errorf("give the source back to servers: %w", err))
		}
	}
	return errors.Join(errs...)
}

// refuseConnected fails when a server is connected to the source.
func (m *migration) refuseConnected(ctx context.Context) error {
	for _, d := range m.databases {
		if err := transfer.RefuseConnected(ctx, d.DB); err != nil {
			return fmt.Errorf("database of %s: %w", d.Service, err)
		}
	}
	return nil
}

// finish puts the key where the databases are now, and marks the source as moved, unless a server has been there.
func (m *migration) finish(ctx context.Context) error {
	if m.toDir != m.fromDir {
		if err := m.toDir.putKey(m.key); err != nil {
			return err
		}
	}
	if err := m.refuseConnected(ctx); err != nil {
		return err
	}
	m.finishing = true
	marked := m.marked()
	for _, service := range marked {
		if err := m.mark(ctx, service, transfer.MarkMoved); err != nil {
			return err
		}
	}
	if len(marked) == len(copyOrder()) {
		return nil
	}
	text := fmt.Sprintf("%s\nat %s\n", m.destination(), m.opts.Clock().UTC().Format(time.RFC3339))
	if err := m.fromDir.writeDurably(m.fromDir.file(movedFile), []byte(text)); err != nil {
		return fmt.Errorf("mark the data directory as moved: %w", err)
	}
	return nil
}

// marked are the services of the source whose databases are marked themselves. One file marks all that are in the data directory.
func (m *migration) marked() (services []string) {
	for _, service := range copyOrder() {
		if !m.from.inDataDir(service) {
			services = append(services, service)
		}
	}
	return services
}

// mark marks the database of a service of the source.
func (m *migration) mark(
	ctx context.Context, service string, as func(ctx context.Context, db *sqldb.DB, where string) error,
) error {
	db, err := m.from.open(ctx, service, m.fromDir, sqldb.Config{Application: copying().Application})
	if err != nil {
		return err
	}
	return errors.Join(as(ctx, db, m.destination()), db.Close())
}
