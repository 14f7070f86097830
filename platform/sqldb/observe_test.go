package sqldb_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"hongyan/platform/sqldb"
	"hongyan/test/pgtest"
)

// watched opens a database with its metrics.
func watched(t *testing.T, url string) (*sqldb.DB, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: url, Metrics: reg})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	migrate(t, db)
	return db, reg
}

func TestStatementsAreInTheTrace(t *testing.T) {
	for name, url := range map[string]string{
		"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "a.db"), "postgresql": pgtest.Start(t),
	} {
		t.Run(name, func(t *testing.T) {
			db, _ := watched(t, url)
			spans := tracetest.NewSpanRecorder()
			provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
			ctx, root := provider.Tracer("test").Start(t.Context(), "root")
			_, err := db.Exec(ctx, insertThing, "hush", 1, []byte{1}, true, nil)
			require.NoError(t, err)
			var size int
			require.NoError(t, db.QueryRow(ctx, "SELECT size FROM test_thing WHERE name = $1", "hush").Scan(&size))
			require.NoError(t, db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
				_, err := tx.Exec(ctx, "UPDATE test_thing SET size = $1", 2)
				return err
			}))
			refused := errors.New("refused")
			require.ErrorIs(t, db.View(ctx, func(ctx context.Context, q sqldb.Querier) error {
				rows, err := q.Query(ctx, "SELECT name FROM (SELECT * FROM test_thing) AS t")
				if err != nil {
					return err
				}
				rows.Close()
				return refused
			}), refused)
			rows, err := db.Query(ctx, "SELECT name FROM test_thing")
			require.NoError(t, err)
			rows.Close()
			rows.Close()
			_, err = db.Exec(ctx, "DELETE FROM nowhere")
			require.Error(t, err)
			root.End()

			var names []string
			for _, span := range spans.Ended() {
				names = append(names, span.Name())
				require.Equal(t, root.SpanContext().TraceID(), span.SpanContext().TraceID())
				require.NotContains(t, span.Attributes(), "hush")
				if span.Name() == "view" {
					require.Equal(t, "Unset", span.Status().Code.String(), "a refusal is no failure of the database")
				}
				if span.Name() == "DELETE nowhere" {
					require.Equal(t, "Error", span.Status().Code.String())
				}
			}
			require.Equal(t, []string{
				"INSERT test_thing", "SELECT test_thing", "UPDATE test_thing", "write", "SELECT test_thing", "view",
				"SELECT test_thing", "DELETE nowhere", "root",
			}, names)
		})
	}
}

func TestMetrics(t *testing.T) {
	onBoth := map[string]string{"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "a.db"), "postgres": pgtest.Start(t)}
	for name, url := range onBoth {
		t.Run(name, func(t *testing.T) {
			db, reg := watched(t, url)
			rows, err := db.Query(t.Context(), "SELECT name FROM test_thing")
			require.NoError(t, err)
			require.InDelta(t, 1, gauge(t, reg, "hongyan_sqldb_connections", "in_use"), 0)
			rows.Close()
			require.InDelta(t, 0, gauge(t, reg, "hongyan_sqldb_connections", "in_use"), 0)
			_, err = db.Exec(t.Context(), "DELETE FROM nowhere")
			require.Error(t, err)
			require.InDelta(t, 1, gauge(t, reg, "hongyan_sqldb_errors_total", "exec"), 0)
			require.Positive(t, gauge(t, reg, "hongyan_sqldb_connections_max", ""))
			again, err := sqldb.Open(t.Context(), sqldb.Config{URL: url, Metrics: reg})
			require.NoError(t, err, "the next one takes the place of the last")
			require.NoError(t, again.Close())
		})
	}
}

// gauge returns the value of a metric whose one label has a value, if it has one.
func gauge(t *testing.T, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if len(m.GetLabel()) == 0 || m.GetLabel()[0].GetValue() == label {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	require.FailNow(t, "no metric "+name)
	return 0
}

func BenchmarkQueryRow(b *testing.B) {
	db, err := sqldb.Open(b.Context(), sqldb.Config{URL: "sqlite:" + filepath.Join(b.TempDir(), "a.db")})
	require.NoError(b, err)
	defer func() { require.NoError(b, db.Close()) }()
	traced, span := sdktrace.NewTracerProvider().Tracer("test").Start(b.Context(), "root")
	defer span.End()
	for name, ctx := range map[string]context.Context{"untraced": b.Context(), "traced": traced} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var one int
				if err := db.QueryRow(ctx, "SELECT 1").Scan(&one); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
