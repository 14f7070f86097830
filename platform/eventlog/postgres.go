package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"hongyan/platform/obs"
	"hongyan/platform/sqldb"
)

// divisionByZero is how the statements of an append say that it must not be written.
const divisionByZero = "22012"

// postgresStore writes a batch in one statement: one round trip, after which PostgreSQL has committed it or not,
// whatever becomes of this process.
type postgresStore struct {
	log *Log
	// pool has the committers' own connections.
	pool *pgxpool.Pool
	// batch writes a batch, strict all of it or nothing; lock locks its shards.
	batch, strict, lock string
}

func newPostgresStore(ctx context.Context, l *Log) (*postgresStore, error) {
	cfg := l.db.Pool().Config()
	cfg.MinConns = 0
	cfg.MaxConns = int32(l.cfg.Committers) + 1 // one more to settle what was lost
	for name, value := range planning {
		cfg.ConnConfig.RuntimeParams[name] = value
	}
	cfg.AfterConnect = rememberBackend
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &postgresStore{
		log: l, pool: pool, batch: batchSQL(l.schema, false), strict: batchSQL(l.schema, true),
		lock: strings.ReplaceAll(lockSQL, "{log}", l.schema.Name),
	}, nil
}

// planning makes the server plan the batch once, with indexes: the statement takes longer to plan than to run, and the
// tables grow much faster than the statistics on which a plan for empty tables would be replaced.
var planning = map[string]string{
	"plan_cache_mode": "force_generic_plan",
	"enable_seqscan":  "off",
	"jit":             "off",
}

func (s *postgresStore) close() { s.pool.Close() }

// backend is the server's process at the other end of a connection. Its pid alone is not enough to name it: the system
// gives the pid of one that has ended to another, and after a failover it belongs to another server.
type backend struct {
	pid uint32
	// started is when the process began, serverStarted when its server did.
	started, serverStarted time.Time
}

// backendKey is where a connection keeps its backend.
const backendKey = "hongyan.backend"

// rememberBackend asks a new connection who its backend is: when it is lost, it can no longer be asked.
func rememberBackend(ctx context.Context, conn *pgx.Conn) error {
	b := backend{pid: conn.PgConn().PID()}
	const self = `SELECT backend_start, pg_postmaster_start_time() FROM pg_stat_activity WHERE pid = pg_backend_pid()`
	if err := conn.QueryRow(ctx, self).Scan(&b.started, &b.serverStarted); err != nil {
		return fmt.Errorf("ask for the backend: %w", err)
	}
	conn.PgConn().CustomData()[backendKey] = b
	return nil
}

// lostError is a connection that was lost while a batch was under way.
type lostError struct {
	// backend may still be at it.
	backend backend
	err     error
}

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

func (s *postgresStore) write(ctx context.Context, batch []*pending) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("%w: connect: %s", errNotSent, err) //nolint:errorlint // whatever kept it from connecting, the batch was not sent
	}
	defer conn.Release()
	peer, known := conn.Conn().PgConn().CustomData()[backendKey].(backend)
	if !known {
		return fmt.Errorf("%w: its backend is not known", errNotSent)
	}
	args, err := s.args(batch)
	if err != nil {
		return err
	}
	ctx, span := obs.Span(ctx, "append batch", trace.SpanKindClient, attribute.String("db.system.name", "postgresql"))
	if len(batch[0].Statements) > 0 {
		err = s.pipeline(ctx, conn, batch, args)
	} else {
		err = s.single(ctx, conn, batch, args)
	}
	obs.EndSpan(span, err)
	if sqldb.IsConnectionLost(err) {
		return &lostError{peer, err}
	}
	return err
}

// errNotSent says that there was no connection to send a batch over.
var errNotSent = errors.New("database is unreachable")

// single writes a batch with one statement.
func (s *postgresStore) single(ctx context.Context, conn *pgxpool.Conn, batch []*pending, args []any) error {
	rows, err := conn.Query(ctx, s.batch, args...)
	if err != nil {
		return err
	}
	return outcomes(rows, batch)
}

// pipeline writes appends with their statements, all or nothing: everything is sent at once, and is one transaction because only
// the last is followed by a Sync. The shards are locked first, as in every batch: what two instances do to one stream,
// its rows in other tables included, comes one after the other and does not deadlock.
func (s *postgresStore) pipeline(ctx context.Context, conn *pgxpool.Conn, batch []*pending, args []any) (err error) {
	var b pgx.Batch
	shards := make([]int64, len(batch))
	for i, p := range batch {
		shards[i] = int64(p.Stream.Shard)
	}
	b.Queue(s.lock, shards)
	for _, p := range batch {
		for _, st := range p.Statements {
			b.Queue(statementSQL(s.log.db.SQL(st.SQL), st.Want), st.Args...)
		}
	}
	b.Queue(s.strict, args...)
	results := conn.SendBatch(ctx, &b)
	defer func() {
		if cerr := results.Close(); err == nil {
			err = cerr
		}
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == divisionByZero {
			err = ErrConflict
		}
	}()
	for range b.Len() - 1 {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	return outcomes(rows, batch)
}

// outcome is what became of one append of a batch.
type outcome struct {
	seq, position *int64
	outranked     []int64 // counted from 1
	scope, id     *string
	response      []byte
}

// outcomes reads what became of a batch. The appends learn of it only when the statement has been committed.
func outcomes(rows pgx.Rows, batch []*pending) error {
	defer rows.Close()
	got := make([]outcome, len(batch))
	for rows.Next() {
		var a, one int64
		var o outcome
		if err := rows.Scan(&a, &o.seq, &o.position, &o.outranked, &o.scope, &o.id, &o.response, &one); err != nil {
			return err
		}
		got[a] = o
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return err
	}
	for i, p := range batch {
		switch o := got[i]; {
		case o.seq != nil:
			p.place(*o.seq, *o.position)
			p.outranked = nil
			for _, nth := range o.outranked {
				p.outranked = put(p.outranked, int(nth)-1)
			}
		case o.id != nil:
			p.err = &DuplicateTxnError{Scope: *o.scope, ID: *o.id, Response: o.response}
		default:
			p.err = ErrConflict
		}
	}
	return nil
}

// settle ends the server's process that had the lost batch and waits until it has gone: from then on the batch has
// been committed or never will be. Otherwise the process could still wait for a lock, and write the batch after we
// have written it again.
func (s *postgresStore) settle(ctx context.Context, lost error) error {
	var l *lostError
	if !errors.As(lost, &l) {
		return nil
	}
	const end = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE pid = $1 AND backend_start = $2 AND pg_postmaster_start_time() = $3`
	for try := 0; ; try++ {
		tag, err := s.pool.Exec(ctx, end, int64(l.backend.pid), l.backend.started, l.backend.serverStarted)
		if err != nil {
			return fmt.Errorf("end the lost session: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return nil
		}
		if !pause(ctx, try) {
			return ctx.Err()
		}
	}
}
