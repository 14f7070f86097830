package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// maxAttempts bounds how often Write tries a transaction that lost to another, or lost its connection.
const maxAttempts = 8

// postgres is a PostgreSQL database.
type postgres struct {
	cfg  Config
	rw   *rewriter
	pool *pgxpool.Pool
}

func openPostgres(ctx context.Context, cfg Config) (*postgres, error) {
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, err
	}
	pc.MaxConns = int32(cfg.MaxConns)
	pc.ConnConfig.ConnectTimeout = cfg.ConnectTimeout
	pc.ConnConfig.StatementCacheCapacity = maxStatements
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: cfg.TCPUserTimeout / 3, Interval: cfg.TCPUserTimeout / 3, Count: 3,
	}}
	pc.ConnConfig.DialFunc = dialer.DialContext
	for _, s := range sessionSettings(cfg) {
		pc.ConnConfig.RuntimeParams[s.name] = s.value
	}
	pc.ConnConfig.RuntimeParams["application_name"] = sessionName(cfg.Application, pc.ConnConfig.RuntimeParams["application_name"])
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, err
	}
	p := &postgres{cfg: cfg, rw: &rewriter{dialect: Postgres}, pool: pool}
	if err := p.check(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return p, nil
}

// setting is a parameter of every session. Time-outs are in milliseconds or, with tcpSeconds, in seconds;
// tcp ones hold only where there is TCP.
type setting struct {
	name, value string
	tcp         bool
}

func sessionSettings(cfg Config) []setting {
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	keepalive := strconv.Itoa(max(1, int(cfg.TCPUserTimeout/time.Second)/3))
	readOnly := "off"
	if cfg.ReadOnly {
		readOnly = "on"
	}
	return []setting{
		{name: "default_transaction_read_only", value: readOnly},
		{name: "idle_in_transaction_session_timeout", value: ms(cfg.IdleTxTimeout)},
		{name: "lock_timeout", value: ms(cfg.LockTimeout)},
		{name: "statement_timeout", value: ms(cfg.StatementTimeout)},
		{name: "synchronous_commit", value: "on"},
		{name: "default_transaction_isolation", value: "read committed"},
		{name: "tcp_user_timeout", value: ms(cfg.TCPUserTimeout), tcp: true},
		{name: "tcp_keepalives_idle", value: keepalive, tcp: true},
		{name: "tcp_keepalives_interval", value: keepalive, tcp: true},
		{name: "tcp_keepalives_count", value: "3", tcp: true},
	}
}

// check asks the server whether the session's settings hold: a pooler in between may have dropped them.
func (p *postgres) check(ctx context.Context) error {
	var local bool
	if err := p.pool.QueryRow(ctx, "SELECT inet_server_addr() IS NULL").Scan(&local); err != nil {
		return err
	}
	for _, want := range sessionSettings(p.cfg) {
		if want.tcp && local {
			continue
		}
		var got string
		err := p.pool.QueryRow(ctx, "SELECT setting FROM pg_settings WHERE name = $1", want.name).Scan(&got)
		if err != nil {
			return fmt.Errorf("read setting %s: %w", want.name, err)
		}
		if got != want.value {
			return fmt.Errorf("setting %s is %q and should be %q: connect directly, or let the pooler pass it on", want.name, got, want.value)
		}
	}
	return nil
}

func (p *postgres) Query(ctx context.Context, sql string, args ...any) (Rows, error) {
	r := p.read(ctx, sql, args)
	if r.err != nil && !IsConnectionLost(r.err) {
		return nil, r.err
	}
	return r, nil
}

func (p *postgres) QueryRow(ctx context.Context, sql string, args ...any) Row {
	return pgRow{p.read(ctx, sql, args)}
}

func (p *postgres) rewrite(sql string) string { return p.rw.rewrite(sql) }

func (p *postgres) view(ctx context.Context, f func(context.Context, Querier) error) error {
	opts := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return pgx.BeginTxFunc(ctx, p.pool, opts, func(tx pgx.Tx) error { return f(ctx, pgTx{tx, p.rw}) })
}

func (p *postgres) write(ctx context.Context, f func(context.Context, Tx) error) error {
	committing := false
	return p.retry(ctx, func(err error) bool { return IsRetryable(err) || !committing && IsConnectionLost(err) }, func() error {
		committing = false
		return pgx.BeginTxFunc(ctx, p.pool, pgx.TxOptions{}, func(tx pgx.Tx) error {
			err := f(ctx, pgTx{tx, p.rw})
			committing = err == nil
			return err
		})
	})
}

func (p *postgres) exec(ctx context.Context, sql string, args []any) (n int64, err error) {
	err = p.retry(ctx, IsRetryable, func() error {
		var tag pgconn.CommandTag
		tag, err = p.pool.Exec(ctx, p.rw.rewrite(sql), args...)
		n = tag.RowsAffected()
		return err
	})
	return n, err
}

// retry repeats what may be repeated, after a pause that grows and varies.
func (p *postgres) retry(ctx context.Context, may func(error) bool, f func() error) error {
	for attempt := 1; ; attempt++ {
		err := f()
		if err == nil || attempt == maxAttempts || ctx.Err() != nil || !may(err) {
			return err
		}
		pause := time.Duration(rand.Int64N(int64(5*time.Millisecond) << attempt))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// sqlDB opens the same database for goose, which speaks database/sql and whose statements may take long.
func (p *postgres) sqlDB(context.Context) (*sql.DB, func() error, error) {
	cfg := p.pool.Config().ConnConfig
	cfg.RuntimeParams["statement_timeout"] = "0"
	cfg.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	db := stdlib.OpenDB(*cfg)
	return db, db.Close, nil
}

func (p *postgres) close() error {
	p.pool.Close()
	return nil
}

// pgTx is a transaction.
type pgTx struct {
	tx pgx.Tx
	rw *rewriter
}

func (t pgTx) Query(ctx context.Context, sql string, args ...any) (Rows, error) {
	rows, err := t.tx.Query(ctx, t.rw.rewrite(sql), args...) //nolint:sqlclosecheck // the caller closes them
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (t pgTx) QueryRow(ctx context.Context, sql string, args ...any) Row {
	return t.tx.QueryRow(ctx, t.rw.rewrite(sql), args...)
}

func (t pgTx) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	tag, err := t.tx.Exec(ctx, t.rw.rewrite(sql), args...)
	return tag.RowsAffected(), err
}
