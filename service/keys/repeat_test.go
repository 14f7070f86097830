package keys_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/platform/httpx/hop"
	"hongyan/platform/registry"
	registrymemory "hongyan/platform/registry/memory"
	"hongyan/service/keys"
)

// TestRoutesThatMayBeRepeated names what a gateway may not send again once it was sent. GET and PUT need no mark.
func TestRoutesThatMayBeRepeated(t *testing.T) {
	once := map[string]bool{
		"DELETE /_matrix/client/v3/room_keys/keys":                      true,
		"DELETE /_matrix/client/v3/room_keys/keys/{roomId}":             true,
		"DELETE /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}": true,
	}
	for _, r := range keys.Routes() {
		name := r.Method + " " + r.Path
		require.Equal(t, once[name], r.Once, name)
		if r.Method == http.MethodPost || r.Method == http.MethodDelete {
			require.Equal(t, !once[name], r.Idempotent, name)
			delete(once, name)
		}
	}
	require.Empty(t, once)
}

// house is two instances over one database behind a gateway's transport. Each request makes the first instance that gets it do what it
// says, and then die with the answer in hand.
type house struct {
	*rig
	second *rig
	dir    *registry.Directory

	mu sync.Mutex
	// seen are the requests that somebody has died of.
	seen map[string]bool
	// between, where set, is done when an instance has died, before another one is asked.
	between func()
	n       int
}

func newHouse(t *testing.T) *house {
	url := databases["postgres"](t)
	h := &house{rig: newRig(t, url, nil, keys.Default()), seen: map[string]bool{}}
	h.second = newRig(t, url, h.rig, keys.Default())
	registered := registrymemory.NewStore()
	reg := registered.Open()
	t.Cleanup(func() { require.NoError(t, reg.Close()) })
	dir, err := registry.NewDirectory(reg, registry.DirectoryConfig{Shards: 16, ShardOf: eventlog.ShardOf})
	require.NoError(t, err)
	background(t, dir.Run)
	for i, g := range []*rig{h.rig, h.second} {
		id := fmt.Sprint("i", i)
		server, err := hop.NewServer(hop.ServerOptions{Name: "keys", BootID: id, Handler: h.dying(g.handler)})
		require.NoError(t, err)
		ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		background(t, func(ctx context.Context) error { return server.Run(ctx, ctx, ln) })
		server.Open()
		instance := registered.Open()
		require.NoError(t, instance.Put(t.Context(), registry.Instance{
			Service: "keys", BootID: id, HTTP: ln.Addr().String(), Started: time.Now(), State: registry.Ready,
		}))
		t.Cleanup(func() { require.NoError(t, instance.Close()) })
	}
	await(t, "both are known", func() bool { return len(dir.Instances("keys")) == 2 })
	h.dir = dir
	return h
}

// background runs something until the test ends.
func background(t *testing.T, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

// dying serves each request, and does not live to answer it the first time.
func (h *house) dying(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		name := r.Header.Get("Test-Request")
		first, between := !h.seen[name], h.between
		h.seen[name], h.between = true, nil
		h.mu.Unlock()
		if !first {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(httptest.NewRecorder(), r)
		if between != nil {
			between()
		}
		panic(http.ErrAbortHandler)
	})
}

// send sends a request as a gateway does, and returns its answer; an error where nobody lived to give one.
func (h *house) send(d device, method, path string, body any) (answer, error) {
	h.t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(h.t, err)
	h.n++
	name := fmt.Sprint("request ", h.n)
	ctx, cancel := context.WithTimeout(h.t.(*testing.T).Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://keys.test/_matrix/client/v3"+path, bytes.NewReader(raw))
	require.NoError(h.t, err)
	caller := httpx.Caller{UserID: userID(d.user), DeviceID: d.id}
	if !strings.HasPrefix(path, "/sendToDevice/") {
		caller.IdempotencyKey = name
	}
	httpx.SetCaller(r.Header, caller)
	r.Header.Set("Test-Request", name)
	if marked(method, path) {
		r.Header.Set(httpx.HeaderIdempotent, "1")
	}
	// A gateway that has seen nobody die yet: one that has would rather not ask who did.
	gateway := hop.NewCluster(h.dir, hop.Options{})
	background(h.t.(*testing.T), gateway.Run)
	resp, err := gateway.Upstream("keys").RoundTrip(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return answer{h.t, resp.StatusCode, string(text)}, err
}

// marked tells whether the route of a request is marked as one that may be repeated.
func marked(method, path string) bool {
	path, _, _ = strings.Cut("/_matrix/client/v3"+path, "?")
	for _, r := range keys.Routes() {
		mux := http.NewServeMux()
		mux.HandleFunc(r.Method+" "+r.Path, func(http.ResponseWriter, *http.Request) {})
		req := httptest.NewRequest(method, path, nil)
		if _, pattern := mux.Handler(req); pattern != "" {
			return r.Idempotent
		}
	}
	return false
}

// good is send for what succeeds.
func (h *house) good(d device, method, path string, body any) answer {
	h.t.Helper()
	a, err := h.send(d, method, path, body)
	require.NoError(h.t, err)
	require.Equal(h.t, http.StatusOK, a.status, a.body)
	return a
}

// TestAnInstanceThatDiesCostsNothing has every request done by an instance that dies before it answers.
func TestAnInstanceThatDiesCostsNothing(t *testing.T) {
	h := newHouse(t)
	alice, second, bob := h.login("alice", "A1"), h.login("alice", "A2"), h.login("bob", "B1")
	const post, put = http.MethodPost, http.MethodPut

	signing := newSigningKey()
	up := h.good(alice, post, "/keys/upload", object{
		"device_keys":   deviceKeys(t, alice, signing),
		"one_time_keys": object{curve + ":1": oneTime(alice, "one"), curve + ":2": oneTime(alice, "two")},
		"fallback_keys": object{curve + ":f": oneTime(alice, "f")},
	})
	require.EqualValues(t, 2, up.get("one_time_key_counts", curve).Int())
	_, changes := h.changed(0, "")
	require.True(t, h.good(bob, post, "/keys/query", object{"device_keys": object{userID("alice"): []string{}}}).
		get("device_keys", userID("alice"), "A1").Exists())

	// Somebody claims what was uploaded by the instance that died, before it is uploaded again.
	h.between = func() {
		_, text := h.claim(bob, alice)
		require.Equal(t, "one", text)
		_, text = h.claim(bob, alice)
		require.Equal(t, "two", text)
		_, text = h.claim(bob, alice)
		require.Equal(t, "three", text)
	}
	up = h.good(alice, post, "/keys/upload", object{"one_time_keys": object{curve + ":3": oneTime(alice, "three")}})
	require.Zero(t, up.get("one_time_key_counts", curve).Int(), "what was claimed does not come back")

	cross := newCross("alice")
	h.good(alice, post, deviceSigning, cross.upload(t))
	h.good(alice, post, signaturesUpload, object{userID("alice"): object{
		"A1": cross.self.sign(t, deviceKeys(t, alice, signing), "alice", cross.self.public()),
	}})
	require.Equal(t, 1, h.rows("key_signature", "alice"))
	_, after := h.changed(changes, "")
	require.Equal(t, changes+2, after, "each change was one")

	h.good(alice, put, "/sendToDevice/m.dummy/t1", object{"messages": to("alice", text("once"), "A2")})
	require.Equal(t, []string{"once"}, h.bodies(second))

	version := object{"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": object{"public_key": "abcdefg"}}
	require.Equal(t, "1", h.good(alice, post, "/room_keys/version", version).get("version").Str)
	require.Equal(t, "2", h.good(alice, post, "/room_keys/version", version).get("version").Str, "none was made twice")
	key := object{"first_message_index": 0, "forwarded_count": 0, "is_verified": false, "session_data": object{"ciphertext": "x"}}
	stored := h.good(alice, put, "/room_keys/keys/!a:hs/s?version=2", key)
	require.EqualValues(t, 1, stored.get("count").Int())
	require.Equal(t, "1", stored.get("etag").Str, "it was stored once")
	h.good(alice, http.MethodDelete, "/room_keys/version/1", object{})
}

// TestRepeatedClaimsTakeOtherKeys has a claim made twice, since its first instance died: no key comes twice, and the client has one.
func TestRepeatedClaimsTakeOtherKeys(t *testing.T) {
	h := newHouse(t)
	alice, bob := h.login("alice", "A1"), h.login("bob", "B1")
	h.ok(alice, "/keys/upload", object{"one_time_keys": object{
		curve + ":1": oneTime(alice, "one"), curve + ":2": oneTime(alice, "two"), curve + ":3": oneTime(alice, "three"),
	}})
	body := object{"one_time_keys": object{userID("alice"): object{"A1": curve}}}
	require.Contains(t, h.good(bob, http.MethodPost, "/keys/claim", body).get("one_time_keys").Raw, `"two"`)
	require.EqualValues(t, 1, h.counts(alice).GetOneTime()[curve])
}
