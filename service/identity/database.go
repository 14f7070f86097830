package identity

import (
	"context"
	"errors"
	"fmt"

	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
	"hongyan/service/identity/internal/store"
)

// openDatabase brings the database's schema up to date and opens what is in it.
func openDatabase(ctx context.Context, db *sqldb.DB, cfg eventlog.Config) (*store.Store, *eventlog.Log, error) {
	s, err := store.Open(ctx, db)
	if err != nil {
		return nil, nil, err
	}
	log, err := eventlog.Open(ctx, db, eventlog.Schema{Name: LogName}, cfg)
	return s, log, err
}

// Migrate brings the schema of the service's database up to date, as New does.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	_, _, err := openDatabase(ctx, db, eventlog.Config{})
	return err
}

// ServerName returns the name of the server whose users the database holds, which the migrations have made; "" while it
// holds none.
func ServerName(ctx context.Context, q sqldb.Querier) (matrix.ServerName, error) {
	userID, err := store.SomeUser(ctx, q)
	if errors.Is(err, sqldb.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	user, err := matrix.ParseUserID(userID)
	if err != nil {
		return "", fmt.Errorf("user id %q: %w", userID, err)
	}
	return user.Server(), nil
}
