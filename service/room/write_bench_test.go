package room_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hongyan/platform/httpx"
	"hongyan/service/room"
	"hongyan/test/pgtest"
)

// benchRooms makes rooms of alice's and returns their ids.
func benchRooms(b *testing.B, g *rig, n int) []string {
	b.Helper()
	ids := make([]string, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				ids[i-1] = g.create("")
			}
		})
	}
	wg.Wait()
	return ids
}

// BenchmarkSend measures PUT send over the real handler on SQLite and on PostgreSQL that waits for the disk, at several sizes of what is there already: into one
// hot room and spread over many. The costs must not differ but by what fewer operations in a batch cost.
func BenchmarkSend(b *testing.B) {
	for _, name := range []string{"sqlite", "postgres"} {
		for _, c := range []struct{ rooms, history, senders int }{
			{1, 0, 1}, {1, 0, 64}, {1, 1_000, 64}, {1, 100_000, 64}, {100, 0, 64}, {100, 1_000, 64}, {10_000, 0, 64},
		} {
			b.Run(fmt.Sprintf("%s/rooms=%d/history=%d/senders=%d", name, c.rooms, c.history, c.senders), func(b *testing.B) {
				benchSend(b, name, c.rooms, c.history, c.senders)
			})
		}
	}
}

// benchSend reports the CPU of this process: PostgreSQL's comes on top.
func benchSend(b *testing.B, database string, rooms, history, senders int) {
	url := databases["sqlite"](b)
	if database == "postgres" {
		url = pgtest.StartDurable(b)
	}
	g := newRig(b, url)
	ids := benchRooms(b, g, rooms)
	sendAll(b, g, ids, 256, history)
	b.ReportAllocs()
	b.ResetTimer()
	start := cpuTime()
	sendAll(b, g, ids, senders, b.N)
	b.ReportMetric(float64((cpuTime()-start).Microseconds())/float64(b.N), "cpu-µs/op")
}

// BenchmarkLoadRoom measures reading a room of many members into memory: a request for a room that is not in the cache.
func BenchmarkLoadRoom(b *testing.B) {
	for _, members := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			cfg := room.Default()
			cfg.CacheBytes = 1 // room for the newest room and no other
			g := newWorldWith(b, "sqlite:"+filepath.Join(b.TempDir(), "room.db"), nil, cfg)
			small, large := g.create(""), g.create("")
			var n atomic.Int64
			var wg sync.WaitGroup
			for range 128 {
				wg.Go(func() {
					for i := n.Add(1); i <= int64(members); i = n.Add(1) {
						g.act(fmt.Sprintf("user%d", i), large, "join")
					}
				})
			}
			wg.Wait()
			b.ResetTimer()
			var spent time.Duration
			for range b.N {
				g.get("alice", "/rooms/"+small+"/aliases")
				start := cpuTime()
				g.get("alice", "/rooms/"+large+"/aliases")
				spent += cpuTime() - start
			}
			b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// sendAll sends so many messages into the rooms in turn.
func sendAll(b *testing.B, g *rig, rooms []string, senders, messages int) {
	body := `{"msgtype":"m.text","body":"` + strings.Repeat("lorem ipsum ", 8) + `"}`
	var sent atomic.Int64
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for n := sent.Add(1); n <= int64(messages); n = sent.Add(1) {
				sendOne(b, g, rooms[int(n)%len(rooms)], body)
			}
		})
	}
	wg.Wait()
}

// cpuTime is what the process has used of all cores.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func sendOne(b *testing.B, g *rig, roomID, body string) {
	path := roomPath(roomID, "send", "m.room.message", strconv.FormatInt(g.txn.Add(1), 10))
	r := httptest.NewRequest(http.MethodPut, "/_matrix/client/v3"+path, strings.NewReader(body))
	httpx.SetCaller(r.Header, httpx.Caller{UserID: userID("alice"), DeviceID: "D"})
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		b.Error(w.Body.String())
	}
}
