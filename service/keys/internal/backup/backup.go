package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/sqldb"
	"hongyan/service/keys/internal/backup/store"
)

// collectInterval is how often it is looked for keys that another instance left behind.
const collectInterval = time.Minute

// Backup is key backup: the part of the service that owns the backups of all users.
type Backup struct {
	cfg   Config
	store *store.Store
	// large holds an element for each large request that is worked on.
	large chan struct{}
	// dropped receives when keys were dropped since it was last received from.
	dropped chan struct{}
	metrics *metrics
}

// New checks what it is given and keeps it. Migrate must have brought the database up to date before any request; Run works in
// the background. reg registers the metrics; nil for none.
func New(cfg Config, db *sqldb.DB, reg prometheus.Registerer) (*Backup, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if db == nil {
		return nil, errors.New("backup: a database is needed")
	}
	b := &Backup{
		cfg: cfg, store: store.New(db), large: make(chan struct{}, cfg.LargeRequests), dropped: make(chan struct{}, 1),
		metrics: newMetrics(reg),
	}
	b.register(reg)
	return b, nil
}

// Migrate brings the schema of the backups up to date.
func Migrate(ctx context.Context, db *sqldb.DB) error { return store.Migrate(ctx, db) }

// DeleteUser removes all that a user has, who is deactivated. It may be repeated.
func (b *Backup) DeleteUser(ctx context.Context, userID string) error {
	if err := b.store.DeleteUser(ctx, userID); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	b.wake()
	return nil
}

// wake tells Run that keys were dropped.
func (b *Backup) wake() {
	select {
	case b.dropped <- struct{}{}:
	default:
	}
}

// Run removes the keys of deleted versions until ctx ends. What it does not get to is done when somebody runs it again.
func (b *Backup) Run(ctx context.Context) {
	ticker := time.NewTicker(collectInterval)
	defer ticker.Stop()
	for {
		if err := b.collect(ctx); err != nil && ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("backup: %v", err)
		}
		select {
		case <-b.dropped:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (b *Backup) collect(ctx context.Context) error {
	for {
		more, err := b.store.Collect(ctx)
		if err != nil || !more {
			return err
		}
	}
}
