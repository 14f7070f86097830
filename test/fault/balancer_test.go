package fault_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"hongyan/test/haproxytest"
	"hongyan/test/harness"
)

// dying plays gateways that die at the worst moment: the first time that a request comes its effect is there, and the
// connection ends without an answer.
type dying struct {
	next *httputil.ReverseProxy

	mu    sync.Mutex
	tried map[string]int
}

func (d *dying) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.tried[r.Method+" "+r.URL.Path]++
	first := d.tried[r.Method+" "+r.URL.Path] == 1
	d.mu.Unlock()
	if r.Method == http.MethodGet || !first {
		d.next.ServeHTTP(w, r)
		return
	}
	d.next.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

func (d *dying) times(request string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tried[request]
}

// TestAGatewayDiesInTheMiddleOfARequest puts HAProxy, set up as the documentation says, before gateways that die when the work
// is done and the answer is not out: what HAProxy repeats is answered as it would have been, and what must not be repeated fails.
func TestAGatewayDiesInTheMiddleOfARequest(t *testing.T) {
	server := harness.Start(t, harness.Options{})
	alice := newClient(t, server, "alice")
	room, err := alice.CreateRoom(t.Context(), map[string]any{})
	require.NoError(t, err)
	target, err := url.Parse(server.URL)
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	gateways := &dying{next: httputil.NewSingleHostReverseProxy(target), tried: map[string]int{}}
	gateways.next.Transport = transport
	var addrs []string
	for range 2 {
		gateway := httptest.NewServer(gateways)
		t.Cleanup(gateway.Close)
		addrs = append(addrs, gateway.Listener.Addr().String())
	}
	proxy := haproxytest.Start(t, haproxytest.Config{Servers: addrs})
	proxy.Await(t, addrs...)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	do := func(method, path, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, proxy.URL+path, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+alice.Token)
		answer, err := client.Do(r)
		require.NoError(t, err)
		defer func() { _ = answer.Body.Close() }()
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(text)
	}
	const v3 = "/_matrix/client/v3"
	alias, rule := v3+"/directory/room/%23here:localhost", v3+"/pushrules/global/room/"+url.PathEscape(room)

	status, text := do("PUT", alias, `{"room_id":"`+room+`"}`)
	require.Equal(t, 200, status, text)
	_, text = do("GET", alias, "")
	require.Equal(t, room, gjson.Get(text, "room_id").Str)
	status, text = do("DELETE", alias, "")
	require.Equal(t, 200, status, text)
	status, text = do("GET", alias, "")
	require.Equal(t, 404, status, text)
	for _, method := range []string{"PUT", "DELETE"} {
		require.Equal(t, 2, gateways.times(method+" "+v3+"/directory/room/#here:localhost"), method)
	}

	status, text = do("PUT", rule, `{"actions":["notify"]}`)
	require.Equal(t, 200, status, text)
	status, text = do("DELETE", rule, "")
	require.Equal(t, 502, status, text)
	require.Equal(t, 1, gateways.times("DELETE "+v3+"/pushrules/global/room/"+room))
	status, text = do("DELETE", v3+"/devices/nothing", "{}")
	require.Equal(t, 502, status, text)
	require.Equal(t, 1, gateways.times("DELETE "+v3+"/devices/nothing"))
	status, text = do("POST", v3+"/createRoom", "{}")
	require.Equal(t, 502, status, text)
	require.Equal(t, 1, gateways.times("POST "+v3+"/createRoom"))
}
