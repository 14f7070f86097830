package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"modernc.org/sqlite"
)

// lite is a SQLite database: one writer, unless it is open for reading only, and a few readers.
type lite struct {
	cfg     Config
	rw      *rewriter
	writer  *liteWriter
	readers *litePool
	copier  *liteCheckpointer
	closing sync.Once
	closed  error
}

func openSQLite(cfg Config) (*lite, error) {
	if cfg.ReadOnly {
		return openSQLiteReadOnly(cfg)
	}
	path := cfg.sqlitePath()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := makePrivate(path); err != nil {
		return nil, err
	}
	rw := &rewriter{dialect: SQLite}
	writing, err := sqlite.NewConnector(liteDSN(cfg, false))
	if err != nil {
		return nil, err
	}
	reading, err := sqlite.NewConnector(liteDSN(cfg, true))
	if err != nil {
		return nil, err
	}
	conn, err := newLiteConn(context.Background(), writing, rw)
	if err != nil {
		return nil, err
	}
	if err := checkLite(conn); err != nil {
		return nil, errors.Join(err, conn.close())
	}
	copying, err := newLiteConn(context.Background(), writing, rw)
	if err != nil {
		return nil, errors.Join(err, conn.close())
	}
	writer := startLiteWriter(conn, cfg.MaxBatch)
	return &lite{
		cfg:     cfg,
		rw:      rw,
		writer:  writer,
		readers: newLitePool(reading, rw, cfg.MaxConns),
		copier:  startLiteCheckpointer(copying, writer),
	}, nil
}

// makePrivate makes the file where it is missing, for nobody but this user: the driver would let all read it, and gives
// the files beside it the mode of this one.
func makePrivate(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return file.Close()
}

// openSQLiteReadOnly opens a database that is there. Its connections are as able to write as others, so that the last one
// tidies up the log of a process that was killed; that they do not is a setting of theirs.
func openSQLiteReadOnly(cfg Config) (*lite, error) {
	if _, err := os.Stat(cfg.sqlitePath()); err != nil {
		return nil, err
	}
	rw := &rewriter{dialect: SQLite}
	reading, err := sqlite.NewConnector(liteDSN(cfg, true))
	if err != nil {
		return nil, err
	}
	return &lite{cfg: cfg, rw: rw, readers: newLitePool(reading, rw, cfg.MaxConns)}, nil
}

// liteDSN is the driver's name of the database with the settings of a connection.
func liteDSN(cfg Config, readOnly bool) string {
	cache := cfg.CacheKiB
	q := url.Values{}
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", cfg.LockTimeout.Milliseconds()))
	if !readOnly {
		// Before anything is written: a database that is there keeps its own.
		q.Add("_pragma", fmt.Sprintf("auto_vacuum(%d)", incremental))
	}
	q.Add("_pragma", "journal_mode(WAL)")
	q.Add("_pragma", "synchronous(FULL)")
	q.Add("_pragma", "temp_store(MEMORY)")
	if readOnly {
		q.Add("_pragma", "query_only(ON)")
		cache = max(cache/4, 1)
	} else {
		q.Add("_pragma", fmt.Sprintf("wal_autocheckpoint(%d)", checkpointBackstop))
		q.Add("_pragma", "journal_size_limit(67108864)")
	}
	q.Add("_pragma", fmt.Sprintf("cache_size(-%d)", cache))
	path := (&url.URL{Path: cfg.sqlitePath()}).EscapedPath()
	if cfg.ReadOnly {
		q.Set("mode", "rw") // not made where it is missing
	}
	return "file:" + path + "?" + q.Encode()
}

// checkLite asks the database whether it is as durable as it was told to be.
func checkLite(conn *liteConn) error {
	tx := liteTx{conn}
	var mode string
	if err := tx.QueryRow(context.Background(), "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	var sync int
	if err := tx.QueryRow(context.Background(), "PRAGMA synchronous").Scan(&sync); err != nil {
		return err
	}
	if mode != "wal" || sync != 2 {
		return fmt.Errorf("journal mode is %s and synchronous is %d: want wal and 2; does the file system support shared memory?", mode, sync)
	}
	return nil
}

func (l *lite) Query(ctx context.Context, sql string, args ...any) (Rows, error) {
	rows, err := l.open(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (l *lite) QueryRow(ctx context.Context, sql string, args ...any) Row {
	rows, err := l.open(ctx, sql, args)
	return liteRow{rows, err}
}

func (l *lite) open(ctx context.Context, sql string, args []any) (*liteRows, error) {
	conn, err := l.readers.get(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := conn.open(ctx, sql, args, func() { l.readers.put(conn) })
	if err != nil {
		l.readers.put(conn)
		return nil, err
	}
	return rows, nil
}

func (l *lite) rewrite(sql string) string { return l.rw.rewrite(sql) }

func (l *lite) view(ctx context.Context, f func(context.Context, Querier) error) (err error) {
	conn, err := l.readers.get(ctx)
	if err != nil {
		return err
	}
	defer l.readers.put(conn)
	if _, err := conn.execute(ctx, "BEGIN", nil); err != nil {
		return err
	}
	defer func() {
		if _, eerr := conn.execute(context.WithoutCancel(ctx), "ROLLBACK", nil); err == nil {
			err = eerr
		}
	}()
	return f(ctx, liteTx{conn})
}

func (l *lite) write(ctx context.Context, f func(context.Context, Tx) error) error {
	if l.writer == nil {
		return ErrReadOnly
	}
	return l.writer.do(ctx, f)
}

func (l *lite) exec(ctx context.Context, sql string, args []any) (n int64, err error) {
	err = l.write(ctx, func(ctx context.Context, tx Tx) error {
		n, err = tx.Exec(ctx, sql, args...)
		return err
	})
	return n, err
}

// sqlDB opens the same database for goose, which speaks database/sql.
func (l *lite) sqlDB(context.Context) (*sql.DB, func() error, error) {
	if l.writer == nil {
		return nil, nil, ErrReadOnly
	}
	connector, err := sqlite.NewConnector(liteDSN(l.cfg, false))
	if err != nil {
		return nil, nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	return db, db.Close, nil
}

func (l *lite) close() error {
	// The writer closes last: the last connection folds the log back into the file.
	l.closing.Do(func() {
		if l.writer == nil {
			l.closed = l.readers.close()
			return
		}
		l.closed = errors.Join(l.readers.close(), l.copier.stop(), l.writer.stop())
	})
	return l.closed
}

// litePool hands out read-only connections, opened when they are first needed.
type litePool struct {
	connector driver.Connector
	rw        *rewriter
	// slots holds one token for each connection that may be out.
	slots  chan struct{}
	mu     sync.Mutex
	idle   []*liteConn
	closed bool
	// waits are how often a connection was waited for.
	waits atomic.Uint64
}

func newLitePool(connector driver.Connector, rw *rewriter, size int) *litePool {
	return &litePool{connector: connector, rw: rw, slots: make(chan struct{}, size)}
}

func (p *litePool) get(ctx context.Context) (*liteConn, error) {
	select {
	case p.slots <- struct{}{}:
	default:
		p.waits.Add(1)
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		<-p.slots
		return nil, ErrClosed
	}
	if n := len(p.idle); n > 0 {
		conn := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return conn, nil
	}
	p.mu.Unlock()
	conn, err := newLiteConn(context.WithoutCancel(ctx), p.connector, p.rw)
	if err != nil {
		<-p.slots
		return nil, err
	}
	return conn, nil
}

func (p *litePool) put(conn *liteConn) {
	p.mu.Lock()
	p.idle = append(p.idle, conn)
	p.mu.Unlock()
	<-p.slots
}

// close waits until all connections came back.
func (p *litePool) close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.mu.Unlock()
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	var errs []error
	for _, conn := range p.idle {
		errs = append(errs, conn.close())
	}
	p.idle = nil
	for range cap(p.slots) {
		<-p.slots
	}
	return errors.Join(errs...)
}
