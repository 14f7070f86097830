package eventlog_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
	"hongyan/test/pgtest"
)

// BenchmarkAppend appends events as a room log does: the entry, its document of 700 bytes, a transaction id and
// the room's extremity, by 200 senders in as many rooms.
//
//	cpu-µs/op  processor time of this process for one append, the SQLite engine included
func BenchmarkAppend(b *testing.B) {
	for _, d := range durable() {
		for _, history := range []int{1_000, 100_000} {
			b.Run(fmt.Sprintf("%s/history=%d", d.name, history), func(b *testing.B) {
				l := openLog(b, openDB(b, d.url(b)), eventlog.Config{})
				run(b, l)
				fill(b, l, stream(b, l, "!old:x"), history)
				benchmarkAppend(b, l, 200)
			})
		}
	}
}

// durable are the databases as they are in production, waiting for the disk.
func durable() []database {
	return []database{
		{"sqlite", func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "log.db") }},
		{"postgres", func(t testing.TB) string { return pgtest.StartDurable(t) }},
	}
}

func benchmarkAppend(b *testing.B, l *eventlog.Log, senders int) {
	rooms := make([]eventlog.Stream, senders)
	rooms[0] = stream(b, l, "!old:x")
	for i := 1; i < senders; i++ {
		rooms[i] = stream(b, l, fmt.Sprintf("!%d:x", i))
	}
	var next atomic.Int64
	latency := make([]time.Duration, b.N)
	cpu := cpuTime(b)
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			seq := rooms[i].Seq
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				start := time.Now()
				r, err := l.Append(context.Background(), roomEvent(rooms[i], seq, i))
				if err != nil {
					b.Error(err)
					return
				}
				seq, latency[n-1] = r.Seq, time.Since(start)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
	b.ReportMetric(float64(percentile(latency, 50).Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(percentile(latency, 99).Microseconds())/1000, "p99-ms")
}

// roomEvent is an append of the size that a message has.
func roomEvent(s eventlog.Stream, expect int64, sender int) eventlog.Append {
	id := fmt.Sprintf("$%022x%021x", rand.Uint64(), rand.Uint64())
	doc := bytes.Repeat([]byte(id[:28]), 25)
	return eventlog.Append{
		Stream: s, Expect: expect,
		Entries: []eventlog.Entry{{Kind: 1, Ref: id, Body: []byte("0123456789abcdef"), Doc: doc}},
		Rows: []eventlog.Row{
			{Table: tableEvent, Values: []any{id, doc}},
			{Table: tableExtremity, Values: []any{s.ID, id, false}},
		},
		Txns: []eventlog.Txn{{
			Scope: fmt.Sprintf("@user%d:x DEVICE%d PUT /rooms/%s/send", sender, sender, s.Name), ID: id[:20], Response: []byte(id),
		}},
	}
}

// fill gives a stream a history.
func fill(b *testing.B, l *eventlog.Log, s eventlog.Stream, n int) {
	b.Helper()
	for s.Seq < int64(n) {
		a := eventlog.Append{Stream: s, Expect: s.Seq}
		for range min(100, n-int(s.Seq)) {
			e := roomEvent(s, 0, 0)
			a.Entries, a.Rows = append(a.Entries, e.Entries...), append(a.Rows, e.Rows...)
		}
		r, err := l.Append(b.Context(), a)
		require.NoError(b, err)
		s.Seq = r.Seq
	}
}

// BenchmarkRead reads pages of 50 records: from the tail, and from the database.
func BenchmarkRead(b *testing.B) {
	for _, d := range databases() {
		for _, history := range []int{1_000, 100_000} {
			b.Run(fmt.Sprintf("%s/history=%d", d.name, history), func(b *testing.B) {
				db := openDB(b, d.url(b))
				l := openLog(b, db, eventlog.Config{})
				run(b, l)
				s := stream(b, l, "!old:x")
				fill(b, l, s, history)
				cold := openLog(b, db, eventlog.Config{})
				for name, l := range map[string]*eventlog.Log{"tail": l, "database": cold} {
					b.Run(name, func(b *testing.B) { benchmarkRead(b, l, s, int64(history)) })
				}
				b.Run("seq-at", func(b *testing.B) {
					for b.Loop() {
						_, err := cold.SeqAt(b.Context(), s, rand.Int64N(int64(history)))
						require.NoError(b, err)
					}
				})
				b.Run("seqs", func(b *testing.B) {
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							if _, err := cold.Seqs(b.Context(), []int64{s.ID}); err != nil {
								b.Error(err)
							}
						}
					})
				})
				b.Run("heads", func(b *testing.B) {
					for b.Loop() {
						_, err := cold.Heads(b.Context())
						require.NoError(b, err)
					}
				})
			})
		}
	}
}

func benchmarkRead(b *testing.B, l *eventlog.Log, s eventlog.Stream, head int64) {
	b.ReportAllocs()
	for b.Loop() {
		after := head - 50 - rand.Int64N(500)
		records, _, err := l.Read(b.Context(), s.Shard, after, 50)
		if err != nil || len(records) != 50 {
			b.Fatal(len(records), err)
		}
	}
}

// cpuTime is the processor time that this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func percentile(d []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[(len(sorted)-1)*p/100]
}
