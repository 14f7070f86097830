package identity_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	gatewaypb "hongyan/api/gateway"
	identitypb "hongyan/api/identity"
	logpb "hongyan/api/log"
	"hongyan/matrix"
	"hongyan/platform/bus/memory"
	"hongyan/platform/httpx"
	"hongyan/platform/obs/obstest"
	"hongyan/platform/rpc"
	"hongyan/platform/sqldb"
	"hongyan/service/identity"
	"hongyan/test/openapi"
	"hongyan/test/pgtest"
)

func TestMain(m *testing.M) { obstest.Main(m) }

// databases make fresh databases, one of each kind.
var databases = map[string]func(testing.TB) string{
	"sqlite":   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "identity.db") },
	"postgres": pgtest.Start,
}

// onBoth runs a test on both databases.
func onBoth(t *testing.T, configure func(*identity.Config), test func(t *testing.T, g *rig)) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) { test(t, newRig(t, open(t), configure)) })
	}
}

// onSQLite runs a test of what has nothing to do with the database.
func onSQLite(t testing.TB, configure func(*identity.Config)) *rig {
	return newRig(t, databases["sqlite"](t), configure)
}

// rig is a running identity service behind what a gateway does: authentication by the service itself.
type rig struct {
	testing.TB
	url string
	// database is the URL of the database.
	database string
	clock    *clock
	rand     *randomness
	forgot   *forgetter
	db       *sqldb.DB

	identity identitypb.IdentityClient
	admin    identitypb.AdminClient
	log      logpb.LogClient
	// remote is where clients are, "192.0.2.7" where empty.
	remote string
	// social says who may know of whom.
	social *acquaintances
	// service is for tests that need a second one.
	service *identity.Service
}

func testConfig() identity.Config {
	cfg := identity.Default()
	cfg.Registration = identity.RegistrationOpen
	cfg.Passwords.MemoryKiB, cfg.Passwords.Iterations = 64, 1
	cfg.LoginFailures.Burst = 0
	cfg.ForgetTimeout = 50 * time.Millisecond
	return cfg
}

func newRig(t testing.TB, databaseURL string, configure func(*identity.Config)) *rig {
	cfg := testConfig()
	if configure != nil {
		configure(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	db, err := sqldb.Open(ctx, sqldb.Config{URL: databaseURL})
	require.NoError(t, err)
	wakes := memory.New(64)
	g := &rig{TB: t, database: databaseURL, clock: &clock{now: time.UnixMilli(1_700_000_000_000)}, rand: &randomness{}, forgot: &forgetter{}, db: db, social: &acquaintances{}}
	g.service, err = identity.New(ctx, cfg, identity.Deps{
		DB: db, Bus: wakes, Gateways: g.forgot, Social: g.social, ServerName: "hs", Clock: g.clock.Now, Rand: g.rand,
	})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- g.service.Run(ctx) }()
	g.connect()
	server := httptest.NewServer(openapi.Handler(t, g.gateway(t)))
	g.url = server.URL
	t.Cleanup(func() {
		server.Close()
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, wakes.Close())
		require.NoError(t, db.Close())
	})
	return g
}

// in returns the rig for a subtest, which fails for itself.
func (g *rig) in(t testing.TB) *rig {
	sub := *g
	sub.TB = t
	return &sub
}

// headerAt tells the rig's gateway where a client is.
const headerAt = "Test-Remote"

// at returns the rig for clients at another address.
func (g *rig) at(remote string) *rig {
	elsewhere := *g
	elsewhere.remote = remote
	return &elsewhere
}

func (g *rig) connect() {
	public, private := rpc.NewServer("identity", rpc.Options{}), rpc.NewServer("admin", rpc.Options{})
	g.service.Register(public)
	g.service.RegisterAdmin(private)
	conns, local := rpc.NewLocal(rpc.Options{})
	local.Add(public)
	local.Add(private)
	g.identity = identitypb.NewIdentityClient(conns.Conn("identity"))
	g.admin = identitypb.NewAdminClient(conns.Conn("admin"))
	g.log = logpb.NewLogClient(conns.Conn("identity"))
}

// gateway does what the gateway does before a request reaches the service.
func (g *rig) gateway(t testing.TB) http.Handler {
	var routes httpx.Matcher[httpx.Route]
	for _, r := range identity.Routes() {
		require.NoError(t, routes.Add(r.Method, r.Path, r))
	}
	service := g.service.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := httpx.Caller{RequestID: "req", RemoteAddr: netip.MustParseAddr("192.0.2.7")}
		if at := r.Header.Get(headerAt); at != "" {
			caller.RemoteAddr = netip.MustParseAddr(at)
		}
		if m, err := routes.Match(r.Method, r.URL.EscapedPath()); err == nil && m.Value.Auth != httpx.AuthNone {
			token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			if token != "" || m.Value.Auth != httpx.AuthOptional {
				a, err := g.identity.Authenticate(r.Context(), &identitypb.AuthenticateRequest{
					AccessToken: token, RemoteAddr: caller.RemoteAddr.String(),
				})
				if err == nil && a.GetLocked() && m.Value.Auth != httpx.AuthLocked {
					err = matrix.NewError(matrix.CodeUserLocked, "locked").WithField("soft_logout", true)
				}
				if err != nil {
					httpx.WriteError(w, r, err)
					return
				}
				caller.UserID, caller.DeviceID, caller.TokenID = a.GetUserId(), a.GetDeviceId(), a.GetTokenId()
				caller.Admin, caller.Guest, caller.Suspended = a.GetAdmin(), a.GetGuest(), a.GetSuspended()
			}
		}
		httpx.SetCaller(r.Header, caller)
		service.ServeHTTP(w, r)
	})
}

// answer is a response.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   map[string]any
	raw    string
}

// as sends a request with an access token; body is JSON text, or a value to be encoded.
func (g *rig) as(token, method, path string, body any) *answer {
	g.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		require.NoError(g, err)
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, g.url+path, reader)
	require.NoError(g, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set(headerAt, g.remote)
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(g, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(g, err)
	a := &answer{t: g, status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	require.NoError(g, json.Unmarshal(raw, &a.body), a.raw)
	return a
}

func (g *rig) get(token, path string) *answer {
	g.Helper()
	return g.as(token, http.MethodGet, path, nil)
}

func (g *rig) post(token, path string, body any) *answer {
	g.Helper()
	return g.as(token, http.MethodPost, path, body)
}

// ok requires 200.
func (a *answer) ok() *answer {
	a.t.Helper()
	require.Equal(a.t, http.StatusOK, a.status, a.raw)
	return a
}

// fails requires an error, with its text.
func (a *answer) fails(status int, code matrix.ErrCode) *answer {
	a.t.Helper()
	require.Equal(a.t, status, a.status, a.raw)
	require.Equal(a.t, string(code), a.body["errcode"], a.raw)
	require.NotEmpty(a.t, a.body["error"], a.raw)
	return a
}

// challenged requires 401 with flows and a session, and returns the session.
func (a *answer) challenged(code matrix.ErrCode, stages ...string) string {
	a.t.Helper()
	require.Equal(a.t, http.StatusUnauthorized, a.status, a.raw)
	want := make([]any, len(stages))
	for i, x := range stages {
		want[i] = x
	}
	require.Equal(a.t, []any{map[string]any{"stages": want}}, a.body["flows"], a.raw)
	require.IsType(a.t, map[string]any{}, a.body["params"], a.raw)
	if code == "" {
		require.NotContains(a.t, a.body, "errcode", a.raw)
		require.NotContains(a.t, a.body, "error", a.raw)
	} else {
		require.Equal(a.t, string(code), a.body["errcode"], a.raw)
	}
	return a.text("session")
}

func (a *answer) text(key string) string {
	a.t.Helper()
	require.IsType(a.t, "", a.body[key], a.raw)
	require.NotEmpty(a.t, a.body[key], a.raw)
	return a.body[key].(string)
}

// obj is a JSON object.
type obj = map[string]any

const v3 = "/_matrix/client/v3"

var dummy = obj{"type": "m.login.dummy"}

// user is a registered user with a session.
type user struct {
	id, name, device, token string
}

const secret = "correct horse"

func (g *rig) register(name string) user {
	g.Helper()
	a := g.post("", v3+"/register", obj{"username": name, "password": secret, "auth": dummy}).ok()
	return user{id: a.text("user_id"), name: name, device: a.text("device_id"), token: a.text("access_token")}
}

func (g *rig) login(name string, extra obj) *answer {
	g.Helper()
	body := obj{"type": "m.login.password", "identifier": obj{"type": "m.id.user", "user": name}, "password": secret}
	for k, v := range extra {
		body[k] = v
	}
	return g.post("", v3+"/login", body)
}

// passwordAuth is what proves who a user is.
func (u user) passwordAuth() obj {
	return obj{
		"type": "m.login.password", "password": secret, "identifier": obj{"type": "m.id.user", "user": u.id},
	}
}

// works requires that a token is let through; ended that it is not, and softly or not.
func (g *rig) works(token string) { g.Helper(); g.get(token, v3+"/account/whoami").ok() }

func (g *rig) ended(token string, soft bool) {
	g.Helper()
	a := g.get(token, v3+"/account/whoami").fails(http.StatusUnauthorized, matrix.CodeUnknownToken)
	require.Equal(g, soft, a.body["soft_logout"] == true, a.raw)
}

// events are the entries of a user's log. Entries that others have replaced may still come from the log's memory; they
// are left out.
func (g *rig) events(userID string) []*logpb.Record {
	g.Helper()
	ctx := context.Background()
	heads, err := g.log.Heads(ctx, &logpb.HeadsRequest{})
	require.NoError(g, err)
	var all []*logpb.Record
	for shard, head := range heads.GetShard() {
		if head == 0 {
			continue
		}
		page, err := g.log.Read(ctx, &logpb.ReadRequest{Shard: int32(shard), Limit: 1000})
		require.NoError(g, err)
		require.Equal(g, head, page.GetThrough())
		for _, r := range page.GetRecords() {
			if r.GetStream() != userID {
				continue
			}
			if r.GetKey() != "" {
				all = slices.DeleteFunc(all, func(old *logpb.Record) bool { return old.GetKey() == r.GetKey() })
			}
			all = append(all, r)
		}
	}
	return all
}

// logRows is how many entries the log holds.
func (g *rig) logRows() (n int64) {
	g.Helper()
	require.NoError(g, g.db.QueryRow(context.Background(),
		`SELECT (SELECT count(*) FROM identity_entry) + (SELECT count(*) FROM identity_latest)`).Scan(&n))
	return n
}

// clock is a clock that stands until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// randomness is true, but may let something happen when it is asked for next: before what asks for it goes on.
type randomness struct{ first atomic.Pointer[func()] }

func (r *randomness) before(do func()) { r.first.Store(&do) }

// Read implements io.Reader.
func (r *randomness) Read(p []byte) (int, error) {
	if do := r.first.Swap(nil); do != nil {
		(*do)()
	}
	return rand.Read(p)
}

// forgetter is all gateways.
type forgetter struct {
	mu   sync.Mutex
	reqs []*gatewaypb.ForgetTokensRequest
	fail bool
}

// ForgetTokens implements identity.Gateways.
func (f *forgetter) ForgetTokens(_ context.Context, req *gatewaypb.ForgetTokensRequest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reqs = append(f.reqs, req)
	if f.fail {
		return errors.New("a gateway did not answer")
	}
	return nil
}

// take returns what gateways were told since it was called last.
func (f *forgetter) take() []*gatewaypb.ForgetTokensRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	reqs := f.reqs
	f.reqs = nil
	return reqs
}
