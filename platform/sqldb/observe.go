package sqldb

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"hongyan/platform/obs"
)

// kind is what is done with a database, as metrics have it.
type kind int

const (
	kindQuery kind = iota
	kindExec
	kindWrite
	kindView
	kinds
)

var kindNames = [kinds]string{"query", "exec", "write", "view"}

// observer measures what is done with a database and puts it into the trace of the request that does it.
type observer struct {
	system  attribute.KeyValue
	seconds [kinds]prometheus.Observer
	errors  [kinds]prometheus.Counter
}

func newObserver(reg prometheus.Registerer, d Dialect) *observer {
	o := &observer{system: attribute.String("db.system.name", "sqlite")}
	if d == Postgres {
		o.system = attribute.String("db.system.name", "postgresql")
	}
	seconds := obs.Register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "hongyan_sqldb_seconds", Buckets: obs.LatencyBuckets(),
		Help: "Time of queries, statements, transactions (write) and snapshots (view), with waiting for a connection or the writer.",
	}, []string{"kind"}))
	failed := obs.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hongyan_sqldb_errors_total",
		Help: "What the database refused or lost, by kind, without rows that exist already.",
	}, []string{"kind"}))
	for k, name := range kindNames {
		o.seconds[k], o.errors[k] = seconds.WithLabelValues(name), failed.WithLabelValues(name)
	}
	return o
}

// operation is one thing that is done with the database.
type operation struct {
	o     *observer
	kind  kind
	began time.Time
	span  trace.Span // nil where the request is not traced
}

// begin begins an operation; sql is empty for a transaction.
func (o *observer) begin(ctx context.Context, k kind, sql string) (context.Context, operation) {
	op := operation{o: o, kind: k, began: time.Now()}
	if obs.Traced(ctx) {
		ctx, op.span = o.span(ctx, k, sql)
	}
	return ctx, op
}

func (o *observer) span(ctx context.Context, k kind, sql string) (context.Context, trace.Span) {
	name := kindNames[k]
	if sql != "" {
		name = summary(sql)
	}
	return obs.Span(ctx, name, trace.SpanKindClient, o.system, attribute.String("db.query.summary", name))
}

func (op *operation) end(err error) {
	op.o.seconds[op.kind].Observe(time.Since(op.began).Seconds())
	fault := isFault(err)
	if fault {
		op.o.errors[op.kind].Inc()
	}
	if op.span == nil {
		return
	}
	if !fault {
		err = nil // what a transaction's function refuses is no failure of the database
	}
	obs.EndSpan(op.span, err)
}

// isFault tells the database's errors from those of its users.
func isFault(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrNoRows) || IsUniqueViolation(err) {
		return false
	}
	return IsRetryable(err) || IsServerError(err) || IsConnectionLost(err) || isNeverSent(err)
}

// summary is what a span calls a statement: its verb and the first table, never a value.
func summary(sql string) string {
	verb, table, next := "", "", false
	for word := range strings.FieldsSeq(sql) {
		upper := strings.ToUpper(strings.Trim(word, "(),;"))
		switch {
		case verb == "":
			verb = upper
		case next && isTableName(word):
			table, next = strings.Trim(word, ",;)"), false
		}
		if table != "" {
			return verb + " " + table
		}
		next = upper == "FROM" || upper == "INTO" || upper == "UPDATE" || next && upper == "ONLY"
		if verb == "UPDATE" && upper == verb {
			next = true
		}
	}
	return verb
}

// isTableName leaves out subqueries and functions.
func isTableName(word string) bool {
	return !strings.ContainsAny(strings.TrimRight(word, ",;)"), "()$'")
}

// observedRows end their operation when they are read or closed.
type observedRows struct {
	Rows
	op    operation
	ended bool
}

func (r *observedRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.end()
	return false
}

func (r *observedRows) Err() error { return mark(r.Rows.Err()) }

func (r *observedRows) Close() {
	r.Rows.Close()
	r.end()
}

func (r *observedRows) end() {
	if !r.ended {
		r.ended = true
		r.op.end(r.Err())
	}
}

// observedRow ends its operation when it is scanned.
type observedRow struct {
	Row
	op operation
}

func (r *observedRow) Scan(dest ...any) error {
	err := r.Row.Scan(dest...)
	r.op.end(err)
	return mark(err)
}

// tracedTx puts the statements of a transaction that is traced into the trace. The transaction as a whole is measured.
type tracedTx struct {
	tx Tx
	o  *observer
}

func (t tracedTx) Query(ctx context.Context, sql string, args ...any) (Rows, error) {
	ctx, span := t.o.span(ctx, kindQuery, sql)
	rows, err := t.tx.Query(ctx, sql, args...)
	obs.EndSpan(span, err)
	return rows, err
}

func (t tracedTx) QueryRow(ctx context.Context, sql string, args ...any) Row {
	ctx, span := t.o.span(ctx, kindQuery, sql)
	defer span.End()
	return t.tx.QueryRow(ctx, sql, args...)
}

func (t tracedTx) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	ctx, span := t.o.span(ctx, kindExec, sql)
	n, err := t.tx.Exec(ctx, sql, args...)
	obs.EndSpan(span, err)
	return n, err
}

// tracedQuerier is tracedTx for a snapshot.
type tracedQuerier struct {
	q Querier
	o *observer
}

func (t tracedQuerier) Query(ctx context.Context, sql string, args ...any) (Rows, error) {
	ctx, span := t.o.span(ctx, kindQuery, sql)
	rows, err := t.q.Query(ctx, sql, args...)
	obs.EndSpan(span, err)
	return rows, err
}

func (t tracedQuerier) QueryRow(ctx context.Context, sql string, args ...any) Row {
	ctx, span := t.o.span(ctx, kindQuery, sql)
	defer span.End()
	return t.q.QueryRow(ctx, sql, args...)
}
