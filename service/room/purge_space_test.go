package room_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	roompb "hongyan/api/room"
	"hongyan/service/room"
)

// sayMany sends long messages.
func (g *rig) sayMany(roomID string, messages int) {
	g.t.Helper()
	text := strings.Repeat("the wild geese carry letters ", 30)
	var n atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := n.Add(1); i <= int64(messages); i = n.Add(1) {
				g.say("alice", roomID, fmt.Sprint(text, i))
			}
		})
	}
	wg.Wait()
}

// TestPurgeShrinksTheFile is that what was removed no longer takes space on the disk with SQLite.
func TestPurgeShrinksTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "room.db")
	clock := newHand()
	cfg := keeping(nil)
	cfg.Retention.Batch = 200
	g := newWorldOf(t, "sqlite:"+path, nil, cfg, clock.now)
	size := func() int64 {
		var busy, length, copied int
		require.NoError(t, g.db.QueryRow(t.Context(), `PRAGMA wal_checkpoint(PASSIVE)`).Scan(&busy, &length, &copied))
		info, err := os.Stat(path)
		require.NoError(t, err)
		return info.Size()
	}
	id := g.create("")
	empty := size()
	g.sayMany(id, 4000)
	full := size()
	clock.move(time.Hour)
	g.say("alice", id, "newest")
	require.EqualValues(t, 4000, g.purge(&roompb.PurgeRequest{RoomId: id, BeforeMs: clock.ms.Load()}))
	left := size()
	t.Logf("empty %d, full %d, after the purge %d bytes", empty, full, left)
	require.Greater(t, full-empty, int64(4<<20))
	// A free page in a thousand and what clients' transaction ids take stay.
	require.Less(t, left-empty, (full-empty)/2, "the file became smaller")
}

// TestPurgeFreesPostgres is that after autovacuum's work what was removed takes no space but at the front of the tables, and that as
// much as was removed fits in there again.
func TestPurgeFreesPostgres(t *testing.T) {
	clock := newHand()
	cfg := keeping(nil)
	cfg.Retention.Batch = 200
	g := newWorldOf(t, databases["postgres"](t), nil, cfg, clock.now)
	const tables = `('event', 'room_entry', 'event_relation')`
	size := func() (bytes int64) {
		_, err := g.db.Pool().Exec(t.Context(), `VACUUM event, room_entry, event_relation`)
		require.NoError(t, err)
		require.NoError(t, g.db.QueryRow(t.Context(),
			`SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relname IN `+tables).Scan(&bytes))
		return bytes
	}
	id := g.create("")
	g.sayMany(id, 4000)
	full := size()
	clock.move(time.Hour)
	g.say("alice", id, "newest")
	require.EqualValues(t, 4000, g.purge(&roompb.PurgeRequest{RoomId: id, BeforeMs: clock.ms.Load()}))
	left := size()
	g.sayMany(id, 3500)
	again := size()
	t.Logf("full %d, after the purge %d, filled again %d bytes", full, left, again)
	require.Greater(t, full, int64(4<<20))
	require.Less(t, again, full+full/10, "the space is used again")
	require.Less(t, left, full, "the end of the tables is given back")
}

// TestPurgeLooksUpItsRows is that SQLite finds what a purge looks for by indices, see also TestRetentionUsesIndexes: what it costs must
// not grow with the number of rooms or the length of their histories.
func TestPurgeLooksUpItsRows(t *testing.T) {
	g := newRig(t, databases["sqlite"](t))
	for sql, index := range map[string]string{
		`SELECT * FROM room r WHERE r.check_ms <= 5 AND (r.check_ms, r.room) > (1, 2) ORDER BY r.check_ms, r.room LIMIT 3`:                                                 "room_check",
		`SELECT room FROM room WHERE kept > 0 AND room > 5 ORDER BY room LIMIT 3`:                                                                                          "room_kept",
		`DELETE FROM event_relation AS r WHERE r.room = 1 AND (r.target, r.seq) IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each('[]'))`: "room=? AND target=? AND seq=?",
		`SELECT * FROM room_entry e JOIN event v ON v.event_id = e.ref WHERE e.stream = 1 AND e.seq > 2 AND e.seq < 9 ORDER BY e.seq LIMIT 5`:                              "room_entry_seq",
	} {
		rows, err := g.db.Query(t.Context(), "EXPLAIN QUERY PLAN "+sql)
		require.NoError(t, err)
		plan := ""
		for rows.Next() {
			var id, parent, unused int
			var detail string
			require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
			plan += detail + "\n"
		}
		rows.Close()
		require.NoError(t, rows.Err())
		require.Contains(t, plan, index, sql)
		require.NotContains(t, plan, "TEMP B-TREE", sql)
	}
}

// BenchmarkPurge measures removing 100,000 events, and sends into another room meanwhile, on both databases.
func BenchmarkPurge(b *testing.B) {
	for _, name := range []string{"sqlite", "postgres"} {
		b.Run(name, func(b *testing.B) {
			clock := newHand()
			cfg := keeping(nil)
			cfg.Retention.Batch, cfg.Retention.Pause = 250, 20*time.Millisecond
			g := newWorldOf(b, databases[name](b), nil, cfg, clock.now)
			id, busy := g.create(""), g.create("")
			g.fill(id, 100_000)
			clock.move(time.Hour)
			quiet := latencies(func() bool { return false }, 2000, func() { g.say("alice", busy, "x") })
			b.ResetTimer()
			var done atomic.Bool
			var during []time.Duration
			var wg sync.WaitGroup
			wg.Go(func() { during = latencies(done.Load, 1<<30, func() { g.say("alice", busy, "x") }) })
			began := time.Now()
			events := g.purge(&roompb.PurgeRequest{RoomId: id, BeforeMs: clock.ms.Load()})
			took := time.Since(began)
			done.Store(true)
			wg.Wait()
			b.ReportMetric(float64(events)/took.Seconds(), "events/s")
			for name, list := range map[string][]time.Duration{"quiet": quiet, "purging": during} {
				b.ReportMetric(float64(list[len(list)/2].Microseconds()), name+"-p50-µs")
				b.ReportMetric(float64(list[len(list)*99/100].Microseconds()), name+"-p99-µs")
			}
		})
	}
}

// latencies does something again and again, up to so many times, and returns how long it took, in ascending order.
func latencies(done func() bool, most int, do func()) (all []time.Duration) {
	for n := 0; n < most && !done(); n++ {
		began := time.Now()
		do()
		all = append(all, time.Since(began))
	}
	slices.Sort(all)
	return all
}

// BenchmarkRunWithNothingToDo measures a run over rooms in which nothing has expired, and over as many whose newest event has, so that
// it is looked whether there is a newer one.
func BenchmarkRunWithNothingToDo(b *testing.B) {
	const rooms = 100_000
	for _, name := range []string{"sqlite", "postgres"} {
		for kind, kept := range map[string]int{"idle": 0, "newest expired": 1} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				clock := newHand()
				g := newWorldOf(b, databases[name](b), nil, keeping(func(r *room.Retention) { r.Default.MaxLifetime = day }), clock.now)
				require.NoError(b, g.service.Expire(b.Context()))
				for _, sql := range []string{
					`INSERT INTO room_stream (name, shard, seq) SELECT '!' || n || ':hs', 0, 1
						FROM generate_series(1, 100000) AS n -- postgres
						FROM (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100000) SELECT n FROM s) s -- sqlite`,
					`INSERT INTO room (room, room_id, version, creator, created_ms, visibility, check_ms, kept)
						SELECT stream, name, '12', '@a:hs', 0, 'private', 9000000000000000, ` + fmt.Sprint(kept) + ` FROM room_stream`,
				} {
					_, err := g.db.Exec(b.Context(), sql)
					require.NoError(b, err)
				}
				require.Equal(b, rooms, g.count(`SELECT count(*) FROM room`))
				for b.Loop() {
					require.NoError(b, g.service.Expire(b.Context()))
				}
			})
		}
	}
}
