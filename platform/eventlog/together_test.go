package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
)

// guarded is an append to a stream that expects nothing, with a statement that takes the row of the stream.
func guarded(s eventlog.Stream, id string) eventlog.Append {
	a := message(s, eventlog.AnySeq, id)
	a.Statements = []eventlog.Statement{{SQL: "DELETE FROM extremity WHERE room = $1", Args: []any{s.ID}, Want: 1}}
	return a
}

// rowsOf gives each of some streams a row to be taken.
func rowsOf(t testing.TB, l *eventlog.Log, streams ...eventlog.Stream) {
	t.Helper()
	for _, s := range streams {
		_, err := l.DB().Exec(context.Background(), "INSERT INTO extremity (room, event_ids, soft) VALUES ($1, '', $2)", s.ID, true)
		require.NoError(t, err)
	}
}

// batches is how many batches a log has written.
func batches(t testing.TB, reg *prometheus.Registry) (n uint64) {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "hongyan_eventlog_batch_appends" {
			for _, m := range f.GetMetric() {
				n += m.GetHistogram().GetSampleCount()
			}
		}
	}
	return n
}

// TestStatementsShareACommit has appends with statements come at once, some of which are refused: those fail alone.
func TestStatementsShareACommit(t *testing.T) {
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			l := openLog(t, openDB(t, d.url(t)), eventlog.Config{Committers: 1, Metrics: reg})
			run(t, l)
			const n = 40
			streams, appends := make([]eventlog.Stream, n), make([]eventlog.Append, n)
			for i := range streams {
				streams[i] = stream(t, l, fmt.Sprintf("@u%d:x", i))
				appends[i] = guarded(streams[i], fmt.Sprint("$", i))
			}
			rowsOf(t, l, streams...)
			before := batches(t, reg)
			_, errs := l.AppendAll(t.Context(), appends)
			for i := range errs {
				require.NoError(t, errs[i])
			}
			require.Zero(t, count(t, l, "extremity"))
			require.Equal(t, before+1, batches(t, reg), "one commit is enough")

			rowsOf(t, l, streams...)
			rowless := map[int]bool{0: true, 17: true, n - 1: true}
			for i := range appends {
				appends[i] = guarded(streams[i], fmt.Sprint("$again", i))
				if rowless[i] {
					_, err := l.DB().Exec(t.Context(), "DELETE FROM extremity WHERE room = $1", streams[i].ID)
					require.NoError(t, err)
				}
			}
			appends[5].Txns = []eventlog.Txn{{Scope: "s", ID: "used"}}
			require.NoError(t, l.PutTxn(t.Context(), eventlog.Txn{Scope: "s", ID: "used", Response: []byte("first")}))
			appends[6].Expect = 7 // its sequence is another one
			results, errs := l.AppendAll(t.Context(), appends)
			for i, err := range errs {
				var duplicate *eventlog.DuplicateTxnError
				switch {
				case i == 5:
					require.ErrorAs(t, err, &duplicate)
					require.Equal(t, "first", string(duplicate.Response))
				case i == 6 || rowless[i]:
					require.ErrorIs(t, err, eventlog.ErrConflict, i)
				default:
					require.NoError(t, err, i)
					require.EqualValues(t, 2, results[i].Seq, i)
				}
			}
			require.Equal(t, 2, count(t, l, "extremity"), "what the refused ones would have taken is there")
		})
	}
}

// TestStatementsAndOthersKeepTheirOrder mixes appends with and without statements to the same streams.
func TestStatementsAndOthersKeepTheirOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		a, b := stream(t, l, "@a:x"), stream(t, l, "@b:x")
		rowsOf(t, l, a, b)
		appends := []eventlog.Append{
			message(a, eventlog.AnySeq, "$a1"), guarded(a, "$a2"), message(b, eventlog.AnySeq, "$b1"), message(a, eventlog.AnySeq, "$a3"),
			guarded(b, "$b2"), guarded(a, "$none"), message(b, 2, "$b3"), message(a, 3, "$a4"),
		}
		results, errs := l.AppendAll(t.Context(), appends)
		for i, err := range errs {
			if i == 5 {
				require.ErrorIs(t, err, eventlog.ErrConflict, "the row was taken by the one before")
				continue
			}
			require.NoError(t, err, i)
		}
		var seqs []int64
		for _, r := range results {
			seqs = append(seqs, r.Seq)
		}
		require.Equal(t, []int64{1, 2, 1, 3, 2, 0, 3, 4}, seqs)
	})
}

// TestStatementsOfTwoInstances has two logs over one database take the same rows, in batches of many streams: each row is taken once,
// and nobody gives up because they wait for each other.
func TestStatementsOfTwoInstances(t *testing.T) {
	for _, d := range databases() {
		if d.name != "postgres" {
			continue // SQLite has one writer
		}
		t.Run(d.name, func(t *testing.T) {
			url := d.url(t)
			logs := []*eventlog.Log{instance(t, url), instance(t, url)}
			for _, l := range logs {
				run(t, l)
			}
			const rounds, n = 20, 30
			streams := make([]eventlog.Stream, n)
			for i := range streams {
				streams[i] = stream(t, logs[0], fmt.Sprintf("@u%d:x", i))
			}
			for round := range rounds {
				rowsOf(t, logs[0], streams...)
				var taken [n]atomic.Int64
				var wg sync.WaitGroup
				for who, l := range logs {
					wg.Go(func() {
						appends := make([]eventlog.Append, n)
						for i := range appends {
							at := i
							if who == 1 {
								at = n - 1 - i // the other way round
							}
							appends[i] = guarded(streams[at], fmt.Sprintf("$%d-%d-%d", round, who, at))
						}
						_, errs := l.AppendAll(context.Background(), appends)
						for i, err := range errs {
							at := i
							if who == 1 {
								at = n - 1 - i
							}
							if err == nil {
								taken[at].Add(1)
							} else if !errors.Is(err, eventlog.ErrConflict) {
								t.Errorf("append %d: %v", i, err)
							}
						}
					})
				}
				wg.Wait()
				for i := range taken {
					require.EqualValues(t, 1, taken[i].Load(), "row %d of round %d", i, round)
				}
			}
			require.Zero(t, count(t, logs[0], "extremity"))
		})
	}
}
