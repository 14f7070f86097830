package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"hongyan/app/transfer"
	"hongyan/platform/sqldb"
	"hongyan/service/identity"
)

// copying is how databases are opened to be copied: what a server does in milliseconds takes minutes then.
func copying() sqldb.Config {
	return sqldb.Config{
		StatementTimeout: 24 * time.Hour, IdleTxTimeout: 24 * time.Hour, LockTimeout: 10 * time.Second,
		Application: "hongyan-copy",
	}
}

// copyOrder are the services with a database, followers before what they follow.
func copyOrder() []string {
	names := servicesWithDatabase()
	slices.Reverse(names) // the table of targets has each after what it needs
	return names
}

// openSources opens the databases of all services for reading. close must follow, also after an error.
func (c Config) openSources(ctx context.Context, dir *dataDir) (all []transfer.Database, err error) {
	for _, service := range copyOrder() {
		cfg := copying()
		cfg.ReadOnly = true
		db, err := c.open(ctx, service, dir, cfg)
		if err != nil {
			return all, err
		}
		all = append(all, transfer.Database{Service: service, DB: db})
	}
	return all, nil
}

func closeAll(all []transfer.Database) error {
	var errs []error
	for _, d := range all {
		errs = append(errs, d.DB.Close())
	}
	return errors.Join(errs...)
}

// copyTargets are the databases of all services, to be filled.
func (c Config) copyTargets(dir *dataDir) []transfer.Target {
	var all []transfer.Target
	for _, t := range targets() {
		if t.migrate == nil {
			continue
		}
		all = append(all, transfer.Target{
			Service: t.name, Migrate: t.migrate, Started: t.started,
			Open: func(ctx context.Context, upTo map[string]int64) (*sqldb.DB, error) {
				cfg := copying()
				cfg.UpTo = upTo
				return c.open(ctx, t.name, dir, cfg)
			},
		})
	}
	return all
}

// serverOf returns the name of the server that databases belong to: that of their users, else the configured one.
func (c Config) serverOf(ctx context.Context, all []transfer.Database) (string, error) {
	for _, d := range all {
		if d.Service != "identity" {
			continue
		}
		there, err := d.DB.HasTable(ctx, d.DB, "account")
		if err != nil || !there {
			return c.ServerName, err
		}
		name, err := identity.ServerName(ctx, d.DB)
		if err != nil {
			return "", fmt.Errorf("whose users are these: %w", err)
		}
		if name != "" {
			return string(name), nil
		}
	}
	return c.ServerName, nil
}

// refuseUnused returns why the databases of cfg are not to be copied; nil where they are.
func (c Config) refuseUnused(ctx context.Context, all []transfer.Database, dir *dataDir) error {
	for _, d := range all {
		if err := c.refuseMoved(d.Service, dir); err != nil {
			return err
		}
		if err := transfer.Refuse(ctx, d.DB); err != nil {
			return fmt.Errorf("database of %s: %w", d.Service, err)
		}
	}
	return nil
}
