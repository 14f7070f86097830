package syncroom_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"hongyan/platform/httpx"
)

// raw asks /sync as fast as a client can and returns the body.
func (c *client) raw(since string, timeout time.Duration) []byte {
	r := httptest.NewRequest(http.MethodGet, "/_matrix/client/v3/sync?"+c.query(since, timeout), nil)
	httpx.SetCaller(r.Header, httpx.Caller{UserID: c.user, DeviceID: c.device})
	w := httptest.NewRecorder()
	c.handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		panic(w.Body.String())
	}
	return w.Body.Bytes()
}

func (c *client) follow(timeout time.Duration) []byte {
	body := c.raw(c.since, timeout)
	c.since = gjson.GetBytes(body, "next_batch").Str
	return body
}

// cpuTime is what the process has used of all cores.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// sized runs a benchmark for rooms with short and long histories, and for users with few and many rooms.
func sized(b *testing.B, run func(b *testing.B, g *rig, alice, bob *client, room string)) {
	for _, size := range []struct{ events, rooms int }{{1_000, 1}, {100_000, 1}, {1_000, 100}, {1_000, 10_000}} {
		b.Run(fmt.Sprintf("events=%d/rooms=%d", size.events, size.rooms), func(b *testing.B) {
			if size.events+size.rooms > 10_000 && testing.Short() {
				b.Skip("takes a minute to set up")
			}
			g := onSQLite(b)
			alice, bob := g.client("alice"), g.client("bob")
			room := alice.create(nil)
			bob.join(room)
			parallel(size.rooms-1, func(int) {
				r := alice.create(nil)
				bob.join(r)
			})
			parallel(size.events, func(i int) { alice.say(room, fmt.Sprint("event ", i)) })
			run(b, g, alice, bob, room)
		})
	}
}

// parallel runs f n times, a hundred at once, so that commits are shared.
func parallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range 100 {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// BenchmarkIncrementalSync measures one message on its way to a connected client, without the send.
func BenchmarkIncrementalSync(b *testing.B) {
	sized(b, func(b *testing.B, _ *rig, alice, bob *client, room string) {
		bob.follow(0)
		var spent time.Duration
		var took time.Duration
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			alice.say(room, "hello there, how are you today?")
			since := bob.since
			bob.raw(since, time.Minute) // the news are in memory from here on
			b.StartTimer()
			cpu, start := cpuTime(), time.Now()
			body := bob.follow(time.Minute)
			spent += cpuTime() - cpu
			took += time.Since(start)
			if !bytes.Contains(body, []byte("how are you")) {
				b.Fatal(string(body))
			}
		}
		b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "cpu-µs/op")
	})
}

// BenchmarkResume measures the first sync of a client whose token is old, at a service that knows nothing.
func BenchmarkResume(b *testing.B) {
	sized(b, func(b *testing.B, g *rig, alice, bob *client, room string) {
		bob.follow(0)
		for i := range 5 {
			alice.say(room, fmt.Sprint("missed ", i))
		}
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			g.restart()
			<-g.sync.service.Ready()
			b.StartTimer()
			if body := bob.raw(bob.since, time.Minute); !bytes.Contains(body, []byte("missed 4")) {
				b.Fatal(string(body))
			}
		}
	})
}

// BenchmarkInitialSync measures a sync without a token of a user in 1 and in 100 rooms.
func BenchmarkInitialSync(b *testing.B) {
	sized(b, func(b *testing.B, _ *rig, _, bob *client, room string) {
		b.ReportAllocs()
		for b.Loop() {
			if body := bob.raw("", 0); !bytes.Contains(body, []byte(room)) {
				b.Fatal("the room is missing")
			}
		}
	})
}

// BenchmarkFanOut measures messages of five senders on their way to 200 polling clients, sends included.
func BenchmarkFanOut(b *testing.B) {
	const clients, senders = 200, 5
	g := onSQLite(b)
	owner := g.client("owner")
	room := owner.create(map[string]any{"preset": "public_chat", "name": "all of us"})
	all := make([]*client, clients)
	for i := range all {
		all[i] = g.client(fmt.Sprintf("user%d", i)).join(room)
	}
	for _, c := range all {
		c.follow(0)
	}
	b.ReportAllocs()
	b.ResetTimer()
	start := cpuTime()
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() {
			for got := 0; got < b.N; {
				got += bytes.Count(c.follow(time.Minute), []byte(`"body":"fan out`))
			}
		})
	}
	parallelN(senders, b.N, func(i int) { all[i%senders].say(room, "fan out "+strings.Repeat("x", 100)) })
	wg.Wait()
	b.ReportMetric(float64(b.N*clients)/b.Elapsed().Seconds(), "deliveries/s")
	b.ReportMetric(float64((cpuTime()-start).Microseconds())/float64(b.N*clients), "cpu-µs/delivery")
}

func parallelN(workers, n int, f func(i int)) {
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	wg.Wait()
}

// TestParkedPollIsSmall bounds what a parked poll and its user cost this service, the HTTP connection apart.
func TestParkedPollIsSmall(t *testing.T) {
	g := onSQLite(t)
	owner := g.client("owner")
	room := owner.create(nil)
	const clients = 500
	all := make([]*client, clients)
	parallel(clients, func(i int) { all[i] = g.client(fmt.Sprintf("user%d", i)).join(room) })
	for _, c := range all {
		c.filter = `{"room":{"state":{"lazy_load_members":true}}}`
		c.follow(0)
	}
	beforeHeap, beforeStack := heapAndStacks()
	done := make(chan struct{}, clients)
	for _, c := range all {
		go func() {
			c.follow(time.Minute)
			done <- struct{}{}
		}()
	}
	require.Eventually(t, func() bool { return g.sync.service.Parked() == clients }, 30*time.Second, time.Millisecond)
	heap, stack := heapAndStacks()
	heap, stack = (heap-beforeHeap)/clients, (stack-beforeStack)/clients
	t.Logf("a parked poll costs %d bytes of heap and %d of stack", heap, stack)
	require.Less(t, heap+stack, int64(12<<10))
	g.sync.stop()
	for range clients {
		<-done
	}
}

func heapAndStacks() (heap, stacks int64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(m.StackInuse)
}
