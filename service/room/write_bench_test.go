package room_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hongyan/platform/httpx"
)

// benchRooms makes rooms of alice's and returns their ids.
func benchRooms(b *testing.B, g *rig, n int) []string {
	b.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = g.create("")
	}
	return ids
}

// BenchmarkSend measures PUT send over the real handler on SQLite: into one hot room, and spread over many.
func BenchmarkSend(b *testing.B) {
	for _, rooms := range []int{1, 100} {
		for _, senders := range []int{1, 64} {
			b.Run(fmt.Sprintf("rooms=%d/senders=%d", rooms, senders), func(b *testing.B) {
				g := newRig(b, "sqlite:"+filepath.Join(b.TempDir(), "room.db"))
				benchSend(b, g, benchRooms(b, g, rooms), senders)
			})
		}
	}
}

func benchSend(b *testing.B, g *rig, rooms []string, senders int) {
	body := `{"msgtype":"m.text","body":"` + strings.Repeat("lorem ipsum ", 8) + `"}`
	var txn atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	start := cpuTime()
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for n := txn.Add(1); n <= int64(b.N); n = txn.Add(1) {
				benchSendOne(b, g, rooms, body, n)
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64((cpuTime()-start).Microseconds())/float64(b.N), "cpu-µs/op")
}

// cpuTime is what the process has used of all cores.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchSendOne(b *testing.B, g *rig, rooms []string, body string, n int64) {
	room := rooms[int(n)%len(rooms)]
	r := httptest.NewRequest(http.MethodPut,
		"/_matrix/client/v3"+roomPath(room, "send", "m.room.message", fmt.Sprintf("b%d-%d", b.N, n)), strings.NewReader(body))
	httpx.SetCaller(r.Header, httpx.Caller{UserID: userID("alice"), DeviceID: "D"})
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		b.Error(w.Body.String())
	}
}
