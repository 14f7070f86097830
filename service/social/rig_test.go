package social_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	socialpb "hongyan/api/social"
	"hongyan/platform/bus"
	"hongyan/platform/bus/memory"
	"hongyan/platform/httpx"
	"hongyan/platform/rpc"
	"hongyan/platform/sqldb"
	"hongyan/service/social"
	"hongyan/test/openapi"
	"hongyan/test/pgtest"
)

const (
	patience = 30 * time.Second
	tick     = 5 * time.Millisecond
)

// databases are the URLs of fresh databases, one of each kind.
var databases = map[string]func(testing.TB) string{
	"sqlite":   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "social.db") },
	"postgres": pgtest.Start,
}

// world is what is around the service: the services that it follows, and the bus.
type world struct {
	people  *people
	rooms   rooms
	ignores *ignores
	bus     bus.Bus
}

func newWorld(t testing.TB) *world {
	wakes := memory.New(0)
	t.Cleanup(func() { require.NoError(t, wakes.Close()) })
	return &world{
		people: newPeople(wakes), rooms: rooms{newMemoryLog("room", wakes)}, ignores: &ignores{content: map[string]string{}}, bus: wakes,
	}
}

// rig is a running instance of the service, with clients over HTTP.
type rig struct {
	*world
	t   testing.TB
	url string
	db  *sqldb.DB
	// social is what other services call.
	social socialpb.SocialClient
	// metrics are the service's.
	metrics *prometheus.Registry
	// stop ends the instance and gives its database up.
	stop func()
}

// onBoth runs a test on both databases.
func onBoth(t *testing.T, test func(t *testing.T, g *rig)) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) { test(t, newRig(t, open(t), newWorld(t), social.Default())) })
	}
}

// newRig starts an instance in a world.
func newRig(t testing.TB, databaseURL string, w *world, cfg social.Config) *rig {
	ctx, cancel := context.WithCancel(context.Background())
	db, err := sqldb.Open(ctx, sqldb.Config{URL: databaseURL})
	require.NoError(t, err)
	metrics := prometheus.NewRegistry()
	s, err := social.New(cfg, social.Deps{
		DB: db, Bus: w.bus, Identity: w.people, IdentityLog: w.people, RoomLog: w.rooms, Sync: w.ignores, Server: "hs", Metrics: metrics,
	})
	require.NoError(t, err)
	require.NoError(t, s.Prepare(ctx))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	web := httptest.NewServer(openapi.Handler(t, s.Handler()))
	server := rpc.NewServer("social", rpc.Options{})
	s.Register(server)
	conns, local := rpc.NewLocal(rpc.Options{})
	local.Add(server)
	g := &rig{world: w, t: t, url: web.URL, db: db, metrics: metrics, social: socialpb.NewSocialClient(conns.Conn("social"))}
	g.stop = sync.OnceFunc(func() {
		web.Close()
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, db.Close())
	})
	t.Cleanup(g.stop)
	return g
}

// answer is what a request was answered.
type answer struct {
	status int
	body   string
}

// post searches with a body.
func (g *rig) post(user, body string) answer {
	g.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost,
		g.url+"/_matrix/client/v3/user_directory/search", bytes.NewBufferString(body))
	require.NoError(g.t, err)
	httpx.SetCaller(r.Header, httpx.Caller{UserID: userID(user), DeviceID: "D"})
	resp, err := http.DefaultClient.Do(r)
	require.NoError(g.t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(g.t, err)
	return answer{resp.StatusCode, string(text)}
}

// search is post for what succeeds.
func (g *rig) search(user, term string, limit int) answer {
	g.t.Helper()
	body := map[string]any{"search_term": term}
	if limit > 0 {
		body["limit"] = limit
	}
	encoded, err := json.Marshal(body)
	require.NoError(g.t, err)
	a := g.post(user, string(encoded))
	require.Equal(g.t, http.StatusOK, a.status, a.body)
	return a
}

// names are the local parts of those found, in order.
func (a answer) names() []string {
	names := []string{}
	for _, u := range gjson.Get(a.body, "results.#.user_id").Array() {
		local, _, _ := bytes.Cut([]byte(u.Str[1:]), []byte(":"))
		names = append(names, string(local))
	}
	return names
}

// finds requires that a search finds these, in this order, and at once: only a search that says itself that it did without the
// newest, since the machine was busy for a second, is made again.
func (g *rig) finds(user, term string, want ...string) {
	g.t.Helper()
	if want == nil {
		want = []string{}
	}
	for {
		before := g.behind()
		got := g.search(user, term, 0).names()
		if slices.Equal(got, want) || g.behind() == before {
			require.Equal(g.t, want, got, term)
			return
		}
	}
}

// behind counts the searches of the instance that did without the newest.
func (g *rig) behind() (n float64) {
	g.t.Helper()
	families, err := g.metrics.Gather()
	require.NoError(g.t, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "hongyan_social_searches_behind_total" {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// awaits is finds for what takes more than a second.
func (g *rig) awaits(user, term string, want ...string) {
	g.t.Helper()
	if want == nil {
		want = []string{}
	}
	var got []string
	require.Eventually(g.t, func() bool {
		got = g.search(user, term, 0).names()
		return len(got) == len(want)
	}, patience, tick, term)
	require.Equal(g.t, want, got, term)
}
