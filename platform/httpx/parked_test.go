package httpx_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
)

// park has n clients wait in long polls behind a gateway and returns the bytes and goroutines each costs the process,
// the client's end of the connection included.
func park(t testing.TB, n int) (bytes, goroutines float64) {
	t.Helper()
	release := make(chan struct{})
	var parked sync.WaitGroup
	service := httpx.MustServer("sync", []httpx.Binding{{
		Route: httpx.Route{Method: "GET", Path: "/_matrix/client/v3/sync", LongPoll: true},
		Handler: func(_ http.ResponseWriter, r *http.Request) error {
			parked.Done()
			select {
			case <-release:
			case <-r.Context().Done():
			}
			return nil
		},
	}}, httpx.Options{})
	upstream := httpx.Local(service)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpx.SetCaller(r.Header, httpx.Caller{UserID: "@user:example.org", DeviceID: "DEVICE", RequestID: "0123456789"})
		if err := httpx.Forward(w, r, upstream); err != nil {
			httpx.WriteError(w, r, err)
		}
	}))
	defer server.Close()
	var conns []net.Conn
	defer func() {
		close(release)
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	before, goBefore := inUse(), runtime.NumGoroutine()
	parked.Add(n)
	for i := range n {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		conns = append(conns, c)
		_, err = io.WriteString(c, fmt.Sprintf("GET /_matrix/client/v3/sync?since=s%d&timeout=30000 HTTP/1.1\r\n"+
			"Host: example.org\r\nUser-Agent: test\r\nAccept: application/json\r\nAuthorization: Bearer syt_0123456789\r\n\r\n", i))
		require.NoError(t, err)
	}
	parked.Wait()
	runtime.GC() // shrinks stacks
	runtime.GC()
	return float64(inUse()-before) / float64(n), float64(runtime.NumGoroutine()-goBefore) / float64(n)
}

func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// A parked poll costs the two goroutines that net/http has for each HTTP/1.1 connection, and none of ours.
func TestParkedPollsCostNoGoroutine(t *testing.T) {
	_, goroutines := park(t, 200)
	require.Less(t, goroutines, 2.2)
}

func BenchmarkParkedPoll(b *testing.B) {
	for b.Loop() {
		bytes, goroutines := park(b, 3000)
		b.ReportMetric(bytes/1024, "KiB/poll")
		b.ReportMetric(goroutines, "goroutines/poll")
	}
}
