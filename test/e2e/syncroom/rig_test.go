package syncroom_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	identitypb "hongyan/api/identity"
	logpb "hongyan/api/log"
	roompb "hongyan/api/room"
	"hongyan/platform/bus"
	"hongyan/platform/bus/memory"
	"hongyan/platform/httpx"
	"hongyan/platform/rpc"
	"hongyan/platform/sqldb"
	"hongyan/service/room"
	"hongyan/service/sync"
	"hongyan/test/openapi"
	"hongyan/test/pgtest"
)

// counted counts what is asked of the room service.
type counted struct {
	roompb.RoomClient
	timelines atomic.Int64
	// notes are how many notes were read.
	notes            atomic.Int64
	peers, relations atomic.Int64
	// joins count the questions when a user joined.
	receipts, joins atomic.Int64
}

// Receipts implements roompb.RoomClient.
func (c *counted) Receipts(ctx context.Context, req *roompb.ReceiptsRequest, opts ...grpc.CallOption) (*roompb.ReceiptsResponse, error) {
	c.receipts.Add(1)
	return c.RoomClient.Receipts(ctx, req, opts...)
}

// Peers implements roompb.RoomClient.
func (c *counted) Peers(ctx context.Context, req *roompb.PeersRequest, opts ...grpc.CallOption) (*roompb.PeersResponse, error) {
	c.peers.Add(1)
	return c.RoomClient.Peers(ctx, req, opts...)
}

// Notes implements roompb.RoomClient.
func (c *counted) Notes(ctx context.Context, req *roompb.NotesRequest, opts ...grpc.CallOption) (*roompb.NotesResponse, error) {
	if req.GetJoinedBy() != "" {
		c.joins.Add(1)
	}
	resp, err := c.RoomClient.Notes(ctx, req, opts...)
	c.notes.Add(int64(len(resp.GetNotes())))
	return resp, err
}

// Timeline implements roompb.RoomClient.
func (c *counted) Timeline(ctx context.Context, req *roompb.TimelineRequest, opts ...grpc.CallOption) (*roompb.TimelineResponse, error) {
	c.timelines.Add(1)
	if key, _ := rpc.KeyOf(ctx); key != req.RoomId {
		return nil, fmt.Errorf("the timeline of %s was asked for with the key %q", req.RoomId, key)
	}
	return c.RoomClient.Timeline(ctx, req, opts...)
}

// nobody is an identity service without profiles and without changes.
type nobody struct{ identitypb.IdentityClient }

func (nobody) Profiles(context.Context, *identitypb.ProfilesRequest, ...grpc.CallOption) (*identitypb.ProfilesResponse, error) {
	return &identitypb.ProfilesResponse{}, nil
}

func (nobody) Heads(context.Context, *logpb.HeadsRequest, ...grpc.CallOption) (*logpb.HeadsResponse, error) {
	return &logpb.HeadsResponse{Epoch: 1, Shard: []int64{0}}, nil
}

func (nobody) Read(context.Context, *logpb.ReadRequest, ...grpc.CallOption) (*logpb.ReadResponse, error) {
	return &logpb.ReadResponse{}, nil
}

// rig is one room service and any number of sync services.
type rig struct {
	t     testing.TB
	rooms http.Handler
	room  *counted
	log   logpb.LogClient
	bus   bus.Bus
	txn   atomic.Int64
	// url is that of the database of sync.
	url  string
	sync *node
	// admin is what the operator of the room service may call.
	admin roompb.ModerationClient
	// keys is the keys service as sync reaches it, keyring as clients do.
	keys    *brittle
	keyring http.Handler
}

// node is a running sync service.
type node struct {
	service *sync.Service
	handler http.Handler
	stop    func()
}

var databases = map[string]func(t testing.TB) (rooms, syncs string){
	"sqlite": func(t testing.TB) (string, string) {
		dir := t.TempDir()
		return "sqlite:" + filepath.Join(dir, "room.db"), "sqlite:" + filepath.Join(dir, "sync.db")
	},
	"postgres": func(t testing.TB) (string, string) { return pgtest.Start(t), pgtest.Start(t) },
}

func onBoth(t *testing.T, test func(t *testing.T, g *rig)) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			rooms, syncs := open(t)
			test(t, newRig(t, rooms, syncs))
		})
	}
}

func onSQLite(t testing.TB) *rig {
	rooms, syncs := databases["sqlite"](t)
	return newRig(t, rooms, syncs)
}

func newRig(t testing.TB, roomURL, syncURL string) *rig {
	ctx, cancel := context.WithCancel(context.Background())
	db, err := sqldb.Open(ctx, sqldb.Config{URL: roomURL})
	require.NoError(t, err)
	wakes := memory.New(0)
	rooms, err := room.New(room.Default(), room.Deps{
		DB: db, Bus: wakes, Identity: nobody{}, IdentityLog: nobody{}, Server: "hs",
	})
	require.NoError(t, err)
	require.NoError(t, rooms.Prepare(ctx))
	done := make(chan error, 1)
	go func() { done <- rooms.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, wakes.Close())
		require.NoError(t, db.Close())
	})
	server := rpc.NewServer("room", rpc.Options{})
	rooms.Register(server)
	conns, local := rpc.NewLocal(rpc.Options{})
	local.Add(server)
	g := &rig{
		t: t, rooms: openapi.Handler(t, rooms.Handler()), bus: wakes, url: syncURL,
		room: &counted{RoomClient: roompb.NewRoomClient(conns.Conn("room"))}, log: logpb.NewLogClient(conns.Conn("room")),
	}
	operator := rpc.NewServer("admin", rpc.Options{})
	rooms.RegisterAdmin(operator)
	adminConns, adminLocal := rpc.NewLocal(rpc.Options{})
	adminLocal.Add(operator)
	g.admin = roompb.NewModerationClient(adminConns.Conn("admin"))
	g.startKeys(roomURL)
	g.sync = g.startSync()
	return g
}

// startSync starts a further sync service on the same database. It is not patient with the keys.
func (g *rig) startSync() *node {
	cfg := sync.Default()
	cfg.KeysPatience = 50 * time.Millisecond
	return g.startSyncWith(cfg)
}

func (g *rig) startSyncWith(cfg sync.Config) *node {
	ctx, cancel := context.WithCancel(context.Background())
	db, err := sqldb.Open(ctx, sqldb.Config{URL: g.url})
	require.NoError(g.t, err)
	service, err := sync.New(cfg, sync.Deps{
		DB: db, Bus: g.bus, Room: g.room, RoomLog: g.log, Keys: g.keys, KeysLog: g.keys,
	})
	require.NoError(g.t, err)
	require.NoError(g.t, service.Prepare(ctx))
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()
	n := &node{service: service, handler: openapi.Handler(g.t, service.Handler())}
	stopped := false
	n.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(g.t, <-done)
		require.NoError(g.t, db.Close())
	}
	g.t.Cleanup(n.stop)
	return n
}

// restart replaces the sync service by a new one that knows nothing.
func (g *rig) restart() {
	g.sync.stop()
	g.sync = g.startSync()
}

// client is a device of a user.
type client struct {
	g      *rig
	node   *node
	user   string
	device string
	since  string
	// filter and params are sent with every sync.
	filter string
	params url.Values
}

func (g *rig) client(name string) *client {
	return &client{g: g, user: "@" + name + ":hs", device: "D" + name}
}

type answer struct {
	t      testing.TB
	status int
	body   []byte
}

func (a answer) object() map[string]any {
	a.t.Helper()
	var v map[string]any
	require.NoError(a.t, json.Unmarshal(a.body, &v), string(a.body))
	return v
}

// do sends a request as the gateway would.
func (c *client) do(handler http.Handler, method, path string, body any) answer {
	c.g.t.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		text, err = json.Marshal(body)
		require.NoError(c.g.t, err)
	}
	r := httptest.NewRequest(method, "/_matrix/client/v3"+path, bytes.NewReader(text))
	httpx.SetCaller(r.Header, httpx.Caller{UserID: c.user, DeviceID: c.device})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return answer{c.g.t, w.Code, w.Body.Bytes()}
}

func (c *client) handler() http.Handler {
	if c.node != nil {
		return c.node.handler
	}
	return c.g.sync.handler
}

// ok sends a request to the sync service that must succeed.
func (c *client) ok(method, path string, body any) map[string]any {
	c.g.t.Helper()
	a := c.do(c.handler(), method, path, body)
	require.Equal(c.g.t, http.StatusOK, a.status, string(a.body))
	return a.object()
}

// room sends a request to the room service that must succeed.
func (c *client) room(method, path string, body any) map[string]any {
	c.g.t.Helper()
	a := c.do(c.g.rooms, method, path, body)
	require.Equal(c.g.t, http.StatusOK, a.status, string(a.body))
	return a.object()
}

func esc(s string) string { return url.PathEscape(s) }

func (c *client) create(body map[string]any) string {
	c.g.t.Helper()
	if body == nil {
		body = map[string]any{"preset": "public_chat"}
	}
	return c.room(http.MethodPost, "/createRoom", body)["room_id"].(string)
}

func (c *client) join(room string) *client {
	c.g.t.Helper()
	c.room(http.MethodPost, "/rooms/"+esc(room)+"/join", nil)
	return c
}

func (c *client) leave(room string) {
	c.g.t.Helper()
	c.room(http.MethodPost, "/rooms/"+esc(room)+"/leave", nil)
}

func (c *client) invite(room string, who *client) {
	c.g.t.Helper()
	c.room(http.MethodPost, "/rooms/"+esc(room)+"/invite", map[string]any{"user_id": who.user})
}

// say sends a message and returns its event id.
func (c *client) say(room, text string) string {
	c.g.t.Helper()
	return c.send(room, "m.room.message", map[string]any{"msgtype": "m.text", "body": text})
}

func (c *client) send(room, eventType string, content any) string {
	c.g.t.Helper()
	txn := fmt.Sprintf("t%d", c.g.txn.Add(1))
	return c.room(http.MethodPut, "/rooms/"+esc(room)+"/send/"+eventType+"/"+txn, content)["event_id"].(string)
}

func (c *client) state(room, eventType, key string, content any) string {
	c.g.t.Helper()
	return c.room(http.MethodPut, "/rooms/"+esc(room)+"/state/"+eventType+"/"+esc(key), content)["event_id"].(string)
}

// sync asks once, with a time-out of zero, and goes on from the answer.
func (c *client) sync() result {
	c.g.t.Helper()
	return c.poll(0)
}

// poll asks once and waits for news for at most a time.
func (c *client) poll(timeout time.Duration) result {
	c.g.t.Helper()
	r := c.at(c.since, timeout)
	c.since = r.str("next_batch")
	return r
}

// at asks with a token and does not remember the answer.
func (c *client) at(since string, timeout time.Duration) result {
	c.g.t.Helper()
	a := c.do(c.handler(), http.MethodGet, "/sync?"+c.query(since, timeout), nil)
	require.Equal(c.g.t, http.StatusOK, a.status, string(a.body))
	return result{c.g.t, a.object()}
}

func (c *client) query(since string, timeout time.Duration) string {
	q := url.Values{"timeout": {fmt.Sprint(timeout.Milliseconds())}}
	for k, v := range c.params {
		q[k] = v
	}
	if since != "" {
		q.Set("since", since)
	}
	if c.filter != "" {
		q.Set("filter", c.filter)
	}
	return q.Encode()
}

// result is an answer of /sync, or a part of one.
type result struct {
	t testing.TB
	v any
}

// get follows keys of objects; nil where there is nothing.
func (r result) get(path ...string) result {
	v := r.v
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return result{r.t, nil}
		}
		v = m[key]
	}
	return result{r.t, v}
}

func (r result) str(path ...string) string { s, _ := r.get(path...).v.(string); return s }
func (r result) num(path ...string) int    { n, _ := r.get(path...).v.(float64); return int(n) }
func (r result) has(path ...string) bool   { return r.get(path...).v != nil }

func (r result) list(path ...string) []result {
	l, _ := r.get(path...).v.([]any)
	out := make([]result, len(l))
	for i := range l {
		out[i] = result{r.t, l[i]}
	}
	return out
}

func (r result) join(room string) result   { return r.get("rooms", "join", room) }
func (r result) leaves(room string) result { return r.get("rooms", "leave", room) }

// bodies are the texts of a timeline's messages.
func (r result) bodies() []string {
	out := []string{}
	for _, e := range r.list("timeline", "events") {
		if e.str("type") == "m.room.message" {
			out = append(out, e.str("content", "body"))
		}
	}
	return out
}

// keys are the types and state keys of a list of state events.
func (r result) keys(path ...string) []string {
	out := []string{}
	for _, e := range r.list(append(path, "events")...) {
		out = append(out, strings.TrimSuffix(e.str("type")+" "+e.str("state_key"), " "))
	}
	return out
}

// types are the event types of a list.
func (r result) types(path ...string) []string {
	out := []string{}
	for _, e := range r.list(append(path, "events")...) {
		out = append(out, e.str("type"))
	}
	return out
}
