package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// maxStatements bounds the prepared statements that a connection keeps.
const maxStatements = 256

// liteConn is one connection to SQLite with its prepared statements. It is used by one goroutine at a time.
//
// It stands directly on the driver: database/sql would add a lock, a goroutine and several allocations to each
// call, which is more than SQLite needs to find a row.
type liteConn struct {
	conn  driver.Conn
	rw    *rewriter
	stmts map[string]*liteStmt
	args  []driver.NamedValue
}

type liteStmt struct {
	stmt  driver.Stmt
	exec  driver.StmtExecContext
	query driver.StmtQueryContext
	// busy is set while rows of it are open.
	busy bool
	// kept says that it is in the connection's cache.
	kept bool
}

func newLiteConn(ctx context.Context, connector driver.Connector, rw *rewriter) (*liteConn, error) {
	conn, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &liteConn{conn: conn, rw: rw, stmts: make(map[string]*liteStmt)}, nil
}

func (c *liteConn) prepare(sql string) (*liteStmt, error) {
	if s, ok := c.stmts[sql]; ok && !s.busy {
		return s, nil
	}
	stmt, err := c.conn.Prepare(c.rw.rewrite(sql))
	if err != nil {
		return nil, err
	}
	s := &liteStmt{stmt: stmt}
	s.exec, _ = stmt.(driver.StmtExecContext)
	s.query, _ = stmt.(driver.StmtQueryContext)
	if s.exec == nil || s.query == nil {
		return nil, errors.Join(errors.New("the SQLite driver lacks context methods"), stmt.Close())
	}
	if _, taken := c.stmts[sql]; !taken && len(c.stmts) < maxStatements {
		s.kept = true
		c.stmts[sql] = s
	}
	return s, nil
}

// done gives a statement back after use.
func (s *liteStmt) done() error {
	s.busy = false
	if s.kept {
		return nil
	}
	return s.stmt.Close()
}

// bind puts the arguments into the connection's buffer, which is valid until the next call.
func (c *liteConn) bind(args []any) ([]driver.NamedValue, error) {
	c.args = c.args[:0]
	for i, arg := range args {
		v, err := toDriver(arg)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return c.args, nil
}

func (c *liteConn) execute(ctx context.Context, sql string, args []any) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	stmt, err := c.prepare(sql)
	if err != nil {
		return 0, err
	}
	values, err := c.bind(args)
	if err != nil {
		return 0, errors.Join(err, stmt.done())
	}
	// The context is not handed down: with one that can end, the driver starts a goroutine for every call.
	result, err := stmt.exec.ExecContext(context.Background(), values)
	clear(c.args)
	if derr := stmt.done(); err == nil {
		err = derr
	}
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (c *liteConn) open(ctx context.Context, sql string, args []any, release func()) (*liteRows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stmt, err := c.prepare(sql)
	if err != nil {
		return nil, err
	}
	values, err := c.bind(args)
	if err != nil {
		return nil, errors.Join(err, stmt.done())
	}
	rows, err := stmt.query.QueryContext(context.Background(), values)
	clear(c.args)
	if err != nil {
		return nil, errors.Join(err, stmt.done())
	}
	stmt.busy = true
	return &liteRows{ctx: ctx, stmt: stmt, rows: rows, values: make([]driver.Value, len(rows.Columns())), release: release}, nil
}

func (c *liteConn) close() error {
	errs := make([]error, 0, len(c.stmts)+1)
	for _, s := range c.stmts {
		errs = append(errs, s.stmt.Close())
	}
	return errors.Join(append(errs, c.conn.Close())...)
}

// liteRows reads a statement's rows.
type liteRows struct {
	ctx     context.Context //nolint:containedctx // the query's, looked at between rows
	stmt    *liteStmt
	rows    driver.Rows
	values  []driver.Value
	release func()
	err     error
	closed  bool
}

func (r *liteRows) Next() bool {
	if r.closed {
		return false
	}
	if r.err = r.ctx.Err(); r.err == nil {
		r.err = r.rows.Next(r.values)
	}
	if r.err == nil {
		return true
	}
	if errors.Is(r.err, io.EOF) {
		r.err = nil
	}
	r.Close()
	return false
}

func (r *liteRows) Scan(dest ...any) error {
	if len(dest) != len(r.values) {
		return fmt.Errorf("scan %d columns into %d values", len(r.values), len(dest))
	}
	for i, d := range dest {
		if err := scanInto(r.values[i], d); err != nil {
			return fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	return nil
}

func (r *liteRows) Err() error { return r.err }

func (r *liteRows) Close() {
	if r.closed {
		return
	}
	r.closed = true
	err := r.rows.Close()
	if derr := r.stmt.done(); err == nil {
		err = derr
	}
	if r.err == nil {
		r.err = err
	}
	if r.release != nil {
		r.release()
	}
}

// liteRow is the first row of a query, or its error.
type liteRow struct {
	rows *liteRows
	err  error
}

func (r liteRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}

// liteTx is a transaction, or a snapshot, on one connection.
type liteTx struct{ conn *liteConn }

func (t liteTx) Query(ctx context.Context, sql string, args ...any) (Rows, error) {
	rows, err := t.conn.open(ctx, sql, args, nil)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (t liteTx) QueryRow(ctx context.Context, sql string, args ...any) Row {
	rows, err := t.conn.open(ctx, sql, args, nil)
	return liteRow{rows, err}
}

func (t liteTx) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	return t.conn.execute(ctx, sql, args)
}
