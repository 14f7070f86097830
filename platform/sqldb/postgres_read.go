package sqldb

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// pgRead is a query of the pool. When its connection turns out to be lost before a row has come (the server was restarted, or
// ended an idle session), it is asked again on another, as often as there may be connections: reads may be repeated.
type pgRead struct {
	ctx     context.Context //nolint:containedctx // the query's, which it is asked again with
	p       *postgres
	sql     string
	args    []any
	rows    pgx.Rows
	err     error // the query's own, without rows
	started bool
	lost    int
}

func (p *postgres) read(ctx context.Context, sql string, args []any) *pgRead {
	r := &pgRead{ctx: ctx, p: p, sql: p.rw.rewrite(sql), args: args}
	r.ask()
	return r
}

func (r *pgRead) ask() { r.rows, r.err = r.p.pool.Query(r.ctx, r.sql, r.args...) }

func (r *pgRead) Next() bool {
	for {
		if r.err == nil && r.rows.Next() {
			r.started = true
			return true
		}
		if r.started || r.lost > r.p.cfg.MaxConns || r.ctx.Err() != nil || !IsConnectionLost(r.Err()) {
			return false
		}
		r.lost++
		r.ask()
	}
}

func (r *pgRead) Scan(dest ...any) error { return r.rows.Scan(dest...) }

func (r *pgRead) Err() error {
	if r.err != nil {
		return r.err
	}
	return r.rows.Err()
}

func (r *pgRead) Close() {
	if r.err == nil {
		r.rows.Close()
	}
}

// pgRow is the first row of a query.
type pgRow struct{ *pgRead }

func (r pgRow) Scan(dest ...any) error {
	defer r.Close()
	if !r.Next() {
		if err := r.Err(); err != nil {
			return err
		}
		return ErrNoRows
	}
	if err := r.pgRead.Scan(dest...); err != nil {
		return err
	}
	r.Close()
	return r.Err()
}
