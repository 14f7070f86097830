package keys_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	keyspb "hongyan/api/keys"
	logpb "hongyan/api/log"
	"hongyan/platform/bus/memory"
	"hongyan/platform/httpx"
	"hongyan/platform/rpc"
	"hongyan/platform/sqldb"
	"hongyan/service/keys"
	"hongyan/test/openapi"
	"hongyan/test/pgtest"
)

const patience = 30 * time.Second

// databases are the URLs of fresh databases, one of each kind.
var databases = map[string]func(testing.TB) string{
	"sqlite":   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "keys.db") },
	"postgres": pgtest.Start,
}

// rig is one or several running instances of the service over one database, with clients over HTTP and gRPC of the first.
type rig struct {
	t      testing.TB
	people *people
	client keyspb.KeysClient
	log    logpb.LogClient
	owners *owners
	room   *room
	url    string
	// handler is what is behind url.
	handler http.Handler
	db      *sqldb.DB
	// metrics are those of the database.
	metrics *prometheus.Registry
	// stop ends Run of the instance and waits for it; close gives its database up too.
	stop, close func()
}

// onBoth runs a test on both databases.
func onBoth(t *testing.T, test func(t *testing.T, g *rig)) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) { test(t, newRig(t, open(t), nil, keys.Default())) })
	}
}

// newRig starts an instance. Where first is given it is another one of the same deployment.
func newRig(t testing.TB, databaseURL string, first *rig, cfg keys.Config) *rig {
	return newRigAt(t, databaseURL, first, cfg, nil)
}

// newRigAt is newRig on a clock, time.Now where nil.
func newRigAt(t testing.TB, databaseURL string, first *rig, cfg keys.Config, clock func() time.Time) *rig {
	ctx, cancel := context.WithCancel(context.Background())
	metrics := prometheus.NewRegistry()
	db, err := sqldb.Open(ctx, sqldb.Config{URL: databaseURL, Metrics: metrics})
	require.NoError(t, err)
	wakes := memory.New(64)
	t.Cleanup(func() { require.NoError(t, wakes.Close()) })
	g := &rig{t: t, db: db, metrics: metrics}
	if g.people = newPeople(t, wakes); first != nil {
		g.people = first.people
	}
	conns, local := rpc.NewLocal(rpc.Options{})
	g.client, g.log = keyspb.NewKeysClient(conns.Conn("keys")), logpb.NewLogClient(conns.Conn("keys"))
	g.owners, g.room = &owners{KeysClient: g.client}, &room{}
	s, err := keys.New(cfg, keys.Deps{
		DB: db, Bus: wakes, Identity: g.people, IdentityLog: g.people, Keys: g.owners, Room: g.room, Server: "hs", Clock: clock,
	})
	require.NoError(t, err)
	require.NoError(t, s.Prepare(ctx))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	g.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	server := rpc.NewServer("keys", rpc.Options{})
	s.Register(server)
	local.Add(server)
	g.handler = openapi.Handler(t, s.Handler())
	web := httptest.NewServer(g.handler)
	g.url = web.URL
	g.close = sync.OnceFunc(func() {
		web.Close()
		g.stop()
		require.NoError(t, db.Close())
	})
	t.Cleanup(g.close)
	return g
}

// at is the rig for a test within the one that made it.
func (g *rig) at(t testing.TB) *rig {
	within := *g
	within.t = t
	return &within
}

// answer is what a request was answered.
type answer struct {
	t      testing.TB
	status int
	body   string
}

// device is a user's device that makes requests.
type device struct{ user, id string }

// post makes a request over HTTP. body is JSON as text, or something to be encoded.
func (g *rig) post(d device, path string, body any) answer {
	g.t.Helper()
	raw, ok := body.(string)
	if !ok {
		encoded, err := json.Marshal(body)
		require.NoError(g.t, err)
		raw = string(encoded)
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, g.url+"/_matrix/client/v3"+path, bytes.NewBufferString(raw))
	require.NoError(g.t, err)
	httpx.SetCaller(r.Header, httpx.Caller{UserID: userID(d.user), DeviceID: d.id})
	resp, err := http.DefaultClient.Do(r)
	require.NoError(g.t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(g.t, err)
	return answer{g.t, resp.StatusCode, string(text)}
}

// ok is post for what succeeds.
func (g *rig) ok(d device, path string, body any) answer {
	g.t.Helper()
	a := g.post(d, path, body)
	require.Equal(g.t, http.StatusOK, a.status, a.body)
	return a
}

// fails is post for what is refused with a code.
func (g *rig) fails(d device, path string, body any, status int, code string) answer {
	g.t.Helper()
	a := g.post(d, path, body)
	require.Equal(g.t, status, a.status, a.body)
	require.Equal(g.t, code, a.get("errcode").Str, a.body)
	return a
}

// get reads from the answer; see escape for names with special characters.
func (a answer) get(path ...string) gjson.Result {
	r := gjson.Parse(a.body)
	for _, p := range path {
		r = r.Get(gjson.Escape(p))
	}
	return r
}

// login adds a device with a display name.
func (g *rig) login(user, id string) device {
	g.people.add(user, id, "name of "+id)
	return device{user, id}
}

// query asks for the keys of users.
func (g *rig) query(d device, users ...string) answer {
	g.t.Helper()
	wanted := map[string][]string{}
	for _, u := range users {
		wanted[userID(u)] = []string{}
	}
	return g.ok(d, "/keys/query", map[string]any{"device_keys": wanted})
}

// changed are the users whose device lists changed after a position, as a viewer is told, and the last position.
func (g *rig) changed(after int64, viewer string) (users []string, last int64) {
	g.t.Helper()
	resp, err := g.client.DeviceListChanges(context.Background(), &keyspb.DeviceListChangesRequest{After: after, Viewer: viewer})
	require.NoError(g.t, err)
	last = after
	for _, u := range resp.GetUsers() {
		users, last = append(users, u.GetUserId()), u.GetPosition()
	}
	return users, last
}

// counts asks for the counts of a device.
func (g *rig) counts(d device) *keyspb.CountsResponse {
	g.t.Helper()
	resp, err := g.client.Counts(context.Background(), &keyspb.CountsRequest{UserId: userID(d.user), DeviceId: d.id})
	require.NoError(g.t, err)
	return resp
}

// queries counts the queries that the database was asked, those of background work included.
func (g *rig) queries() (n uint64) {
	g.t.Helper()
	families, err := g.metrics.Gather()
	require.NoError(g.t, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "hongyan_sqldb_seconds" && m.GetLabel()[0].GetValue() == "query" {
				n += m.GetHistogram().GetSampleCount()
			}
		}
	}
	require.Positive(g.t, n)
	return n
}

// await waits until a condition holds.
func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, 5*time.Millisecond, what)
}
