package room_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	identitypb "hongyan/api/identity"
	logpb "hongyan/api/log"
	roompb "hongyan/api/room"
	"hongyan/platform/bus/memory"
	"hongyan/platform/httpx"
	"hongyan/platform/rpc"
	"hongyan/platform/sqldb"
	"hongyan/service/room"
	"hongyan/test/openapi"
	"hongyan/test/pgtest"
)

// rig is a running room service with its HTTP handler and a client of its gRPC server.
type rig struct {
	t       testing.TB
	service *room.Service
	handler http.Handler
	client  roompb.RoomClient
	db      *sqldb.DB
	txn     atomic.Int64
}

// databases are the URLs of fresh databases, one of each kind.
var databases = map[string]func(testing.TB) string{
	"sqlite":   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "room.db") },
	"postgres": pgtest.Start,
}

// onBoth runs a test on both databases.
func onBoth(t *testing.T, test func(t *testing.T, g *rig)) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) { test(t, newRig(t, open(t))) })
	}
}

func newRig(t testing.TB, databaseURL string) *rig { return newRigWith(t, databaseURL, room.Deps{}) }

// newRigWith is newRig on some dependencies of the test's own.
func newRigWith(t testing.TB, databaseURL string, deps room.Deps) *rig {
	ctx, cancel := context.WithCancel(context.Background())
	db, err := sqldb.Open(ctx, sqldb.Config{URL: databaseURL})
	require.NoError(t, err)
	wakes := memory.New(64)
	deps.DB, deps.Bus, deps.Identity, deps.IdentityLog, deps.Server = db, wakes, noIdentity{}, emptyLog{}, "hs"
	s, err := room.New(room.Default(), deps)
	require.NoError(t, err)
	require.NoError(t, s.Prepare(ctx))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, wakes.Close())
		require.NoError(t, db.Close())
	})
	server := rpc.NewServer("room", rpc.Options{})
	s.Register(server)
	conns, local := rpc.NewLocal(rpc.Options{})
	local.Add(server)
	return &rig{t: t, service: s, handler: openapi.Handler(t, s.Handler()), client: roompb.NewRoomClient(conns.Conn("room")), db: db}
}

// noIdentity knows every user and no profile.
type noIdentity struct{ identitypb.IdentityClient }

func (noIdentity) Profiles(context.Context, *identitypb.ProfilesRequest, ...grpc.CallOption) (*identitypb.ProfilesResponse, error) {
	return &identitypb.ProfilesResponse{}, nil
}

func (noIdentity) Users(_ context.Context, req *identitypb.UsersRequest, _ ...grpc.CallOption) (*identitypb.UsersResponse, error) {
	resp := &identitypb.UsersResponse{}
	for _, id := range req.UserIds {
		resp.Users = append(resp.Users, &identitypb.User{UserId: id})
	}
	return resp, nil
}

// emptyLog is a log without entries.
type emptyLog struct{}

func (emptyLog) Heads(context.Context, *logpb.HeadsRequest, ...grpc.CallOption) (*logpb.HeadsResponse, error) {
	return &logpb.HeadsResponse{Epoch: 1, Shard: []int64{0}}, nil
}

func (emptyLog) Read(context.Context, *logpb.ReadRequest, ...grpc.CallOption) (*logpb.ReadResponse, error) {
	return &logpb.ReadResponse{}, nil
}

// answer is what the HTTP handler answered.
type answer struct {
	status int
	body   json.RawMessage
}

func (a answer) code() string { return a.str("errcode") }

func (a answer) str(key string) string {
	s, _ := a.object()[key].(string)
	return s
}

func (a answer) object() map[string]any {
	var o map[string]any
	_ = json.Unmarshal(a.body, &o)
	return o
}

// list returns an array of objects in the answer; the answer itself for "".
func (a answer) list(key string) []map[string]any {
	raw := a.body
	if key != "" {
		var o map[string]json.RawMessage
		_ = json.Unmarshal(a.body, &o)
		raw = o[key]
	}
	var l []map[string]any
	_ = json.Unmarshal(raw, &l)
	return l
}

// ids are the event ids in an array of the answer.
func (a answer) ids(key string) []string {
	ids := []string{}
	for _, e := range a.list(key) {
		ids = append(ids, e["event_id"].(string))
	}
	return ids
}

func userID(name string) string { return "@" + name + ":hs" }

// do sends a request as a user of the given name, from the device D-name.
func (g *rig) do(method, user, path string, body any) answer {
	g.t.Helper()
	return g.doAs(httpx.Caller{UserID: userID(user), DeviceID: "D-" + user}, method, path, body)
}

func (g *rig) doAs(caller httpx.Caller, method, path string, body any) answer {
	g.t.Helper()
	var payload []byte
	if body != nil {
		var err error
		payload, err = json.Marshal(body)
		require.NoError(g.t, err)
	}
	r := httptest.NewRequest(method, "/_matrix/client/v3"+path, bytes.NewReader(payload))
	httpx.SetCaller(r.Header, caller)
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	return answer{w.Code, w.Body.Bytes()}
}

func (g *rig) get(user, path string) answer {
	g.t.Helper()
	return g.do(http.MethodGet, user, path, nil)
}

// ok is do for what must succeed.
func (g *rig) ok(method, user, path string, body any) answer {
	g.t.Helper()
	a := g.do(method, user, path, body)
	require.Equal(g.t, http.StatusOK, a.status, "%s %s: %s", method, path, a.body)
	return a
}

// create makes a room of alice's with a history visibility, and returns its id.
func (g *rig) create(visibility string) string {
	g.t.Helper()
	body := map[string]any{"preset": "public_chat"}
	if visibility != "" {
		body["initial_state"] = []map[string]any{{
			"type": "m.room.history_visibility", "state_key": "",
			"content": map[string]string{"history_visibility": visibility},
		}}
	}
	return g.ok(http.MethodPost, "alice", "/createRoom", body).str("room_id")
}

func roomPath(roomID string, parts ...string) string {
	p := "/rooms/" + url.PathEscape(roomID)
	for _, s := range parts {
		p += "/" + url.PathEscape(s)
	}
	return p
}

// say sends a message and returns its event id.
func (g *rig) say(user, roomID, text string) string {
	g.t.Helper()
	return g.send(user, roomID, "m.room.message", map[string]any{"msgtype": "m.text", "body": text})
}

func (g *rig) send(user, roomID, eventType string, content any) string {
	g.t.Helper()
	path := roomPath(roomID, "send", eventType, fmt.Sprintf("t%d", g.txn.Add(1)))
	return g.ok(http.MethodPut, user, path, content).str("event_id")
}

func (g *rig) setState(user, roomID, eventType, key string, content any) string {
	g.t.Helper()
	return g.ok(http.MethodPut, user, roomPath(roomID, "state", eventType, key), content).str("event_id")
}

// act does one of join, leave, forget as a user.
func (g *rig) act(user, roomID, what string) {
	g.t.Helper()
	g.ok(http.MethodPost, user, roomPath(roomID, what), map[string]any{})
}

// to does one of invite, kick, ban, unban to another user.
func (g *rig) to(user, roomID, what, other string) {
	g.t.Helper()
	g.ok(http.MethodPost, user, roomPath(roomID, what), map[string]any{"user_id": userID(other)})
}

// timeline reads all that a user may see of a room by GET messages, in pages, oldest first.
func (g *rig) timeline(user, roomID string, limit int) []map[string]any {
	g.t.Helper()
	var all []map[string]any
	from := ""
	for {
		path := roomPath(roomID, "messages") + fmt.Sprintf("?dir=f&limit=%d", limit)
		if from != "" {
			path += "&from=" + url.QueryEscape(from)
		}
		a := g.ok(http.MethodGet, user, path, nil)
		all = append(all, a.list("chunk")...)
		if from = a.str("end"); from == "" {
			return all
		}
	}
}

func eventIDs(events []map[string]any) []string {
	ids := []string{}
	for _, e := range events {
		ids = append(ids, e["event_id"].(string))
	}
	return ids
}
