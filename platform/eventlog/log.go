package eventlog

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"hongyan/platform/sqldb"
)

//go:embed migrations/*/*.sql
var migrations embed.FS

// Log is an open log. Its methods may be called concurrently.
type Log struct {
	db     *sqldb.DB
	schema Schema
	cfg    Config
	sql    statements
	store  store

	epoch  uint64
	shards int

	// queues are the committers'.
	queues []*queue
	tail   *tail
	names  *names
	seqs   seqReader

	metrics *logMetrics
}

// Open makes the log's tables where they are missing and reads its epoch and number of shards. Appends are
// written while Run runs; reading needs no Run.
func Open(ctx context.Context, db *sqldb.DB, schema Schema, cfg Config) (*Log, error) {
	if err := errors.Join(schema.Validate(), cfg.Validate()); err != nil {
		return nil, err
	}
	if schema.Shards == 0 {
		schema.Shards = DefaultShards
	}
	cfg = cfg.withDefaults()
	if db.Dialect() == sqldb.SQLite {
		cfg.Committers = 1
	}
	metrics := labelled(cfg.Metrics, "log", schema.Name)
	l := &Log{
		db: db, schema: schema, cfg: cfg, sql: newStatements(schema), names: newNames(), metrics: newLogMetrics(metrics),
	}
	if err := l.create(ctx); err != nil {
		return nil, fmt.Errorf("open log %s: %w", schema.Name, err)
	}
	h, err := l.Heads(ctx)
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", schema.Name, err)
	}
	l.epoch, l.shards = h.Epoch, len(h.Shard)
	l.tail = newTail(l.shards, cfg.TailBytes)
	l.seqs = seqReader{read: l.readSeqs, timeout: cfg.AttemptTimeout}
	for range cfg.Committers {
		l.queues = append(l.queues, newQueue(cfg, db.Dialect() == sqldb.Postgres))
	}
	l.registerState(metrics)
	return l, nil
}

// create brings the tables up to date and fills in the epoch and the shards of a new log.
func (l *Log) create(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations/log")
	if err != nil {
		return err
	}
	// Refs are unique by the key of the documents' table or, without documents, by an index.
	refs := ""
	if l.schema.Doc != nil {
		refs = "-- "
	}
	err = l.db.Migrate(ctx, sqldb.Migration{
		Name:    l.schema.Name + "_log",
		Files:   files,
		Replace: []string{"{log}", l.schema.Name, "{if refs}", refs},
	})
	if err != nil {
		return err
	}
	return l.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, l.sql.insertMeta, newEpoch(), l.schema.Shards)
		if err != nil || n == 0 {
			return err
		}
		_, err = tx.Exec(ctx, l.sql.insertShards, l.schema.Shards)
		return err
	})
}

// newEpoch returns a random number that both databases can hold.
func newEpoch() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return int64(binary.BigEndian.Uint64(b[:])>>1 | 1)
}

// NewEpoch gives the log another epoch: whatever positions are held elsewhere mean nothing from now on. It is for
// a database that was restored from a backup, before anything follows it again; open logs keep the old epoch.
func (l *Log) NewEpoch(ctx context.Context) error {
	if _, err := l.db.Exec(ctx, l.sql.updateEpoch, newEpoch()); err != nil {
		return fmt.Errorf("new epoch of log %s: %w", l.schema.Name, err)
	}
	return nil
}

// Run writes appends until its context ends. It then refuses new ones, and returns when those that
// were accepted are answered. It runs once.
func (l *Log) Run(ctx context.Context) error {
	store, err := l.newStore(ctx)
	if err != nil {
		l.refuseAll(err)
		return fmt.Errorf("run log %s: %w", l.schema.Name, err)
	}
	defer store.close()
	l.store = store
	// What was accepted is written to the end, whatever happens to ctx.
	working := context.WithoutCancel(ctx)
	var wg sync.WaitGroup
	for _, q := range l.queues {
		wg.Go(func() { l.commitAll(working, q) })
	}
	wg.Go(func() { l.expireAll(ctx) })
	<-ctx.Done()
	for _, q := range l.queues {
		q.close()
	}
	wg.Wait()
	return nil
}

// refuseAll answers all appends, now and from now on, that nothing can be written.
func (l *Log) refuseAll(err error) {
	for _, q := range l.queues {
		q.close()
		for batch := q.take(); batch != nil; batch = q.take() {
			giveUp(batch, err)
			answer(batch)
		}
	}
}

// queueOf returns the queue of a shard.
func (l *Log) queueOf(shard int) *queue { return l.queues[shard%len(l.queues)] }

func (l *Log) newStore(ctx context.Context) (store, error) {
	if l.db.Dialect() == sqldb.SQLite {
		return newSQLiteStore(l), nil
	}
	return newPostgresStore(ctx, l)
}

// DB returns the log's database.
func (l *Log) DB() *sqldb.DB { return l.db }

// Shards returns the number of shards.
func (l *Log) Shards() int { return l.shards }

// Epoch returns the epoch that the log had when it was opened.
func (l *Log) Epoch() uint64 { return l.epoch }
