package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	gatewaypb "hongyan/api/gateway"
	identitypb "hongyan/api/identity"
	"hongyan/matrix"
	"hongyan/platform/bus"
	"hongyan/platform/httpx"
	"hongyan/platform/rpc"
	"hongyan/service/gateway"
)

// fakeIdentity knows tokens. Every look-up may be held up.
type fakeIdentity struct {
	identitypb.IdentityClient

	mu      sync.Mutex
	tokens  map[string]*identitypb.AuthenticateResponse
	lookups int
	failure error
	// enter, where set, is called by each look-up after it has read the answer and before it returns it.
	enter func()
}

func (f *fakeIdentity) Authenticate(ctx context.Context, req *identitypb.AuthenticateRequest, _ ...grpc.CallOption) (*identitypb.AuthenticateResponse, error) {
	f.mu.Lock()
	f.lookups++
	answer, enter, failure := f.tokens[req.GetAccessToken()], f.enter, f.failure
	f.mu.Unlock()
	if enter != nil {
		enter()
	}
	switch {
	case failure != nil:
		return nil, failure
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case answer == nil:
		return nil, matrix.NewError(matrix.CodeUnknownToken, "Unknown access token.")
	}
	return answer, nil
}

func (f *fakeIdentity) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lookups
}

func (f *fakeIdentity) set(token string, answer *identitypb.AuthenticateResponse) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if answer == nil {
		delete(f.tokens, token)
	} else {
		f.tokens[token] = answer
	}
}

func (f *fakeIdentity) hold(enter func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.enter = enter
}

func (f *fakeIdentity) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failure = err
}

// clock is a clock that the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_700_000_000, 0)} }

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

// edge is a gateway before a fake service, on a real port.
type edge struct {
	t        *testing.T
	url      string
	service  *gateway.Service
	identity *fakeIdentity
	clock    *clock
	forget   gatewaypb.GatewayClient

	mu   sync.Mutex
	seen []*http.Request
	body []byte
	// polls gets a value for each long poll that is parked; poll answers them.
	polls chan struct{}
	poll  func(w http.ResponseWriter, r *http.Request) error
}

type edgeOptions struct {
	config     func(*gateway.Config)
	rateLimits bool
	// bus is shared with other gateways; nil for none.
	bus bus.Bus
	// routes are served beside those of every edge.
	routes  []httpx.Route
	foreign gateway.Foreign
	// ready is Deps.Ready.
	ready func() bool
	// transport makes the upstream of a handler; httpx.Local where nil.
	transport func(http.Handler) http.RoundTripper
}

func newEdge(t *testing.T, opts edgeOptions) *edge {
	t.Helper()
	e := &edge{
		t: t, clock: newClock(), polls: make(chan struct{}, 64),
		identity: &fakeIdentity{tokens: map[string]*identitypb.AuthenticateResponse{
			"tok-alice":  {UserId: "@alice:x", DeviceId: "A1", TokenId: "t1"},
			"tok-alice2": {UserId: "@alice:x", DeviceId: "A2", TokenId: "t2"},
			"tok-bob":    {UserId: "@bob:x", DeviceId: "B1", TokenId: "t3", Admin: true},
			"tok-locked": {UserId: "@locked:x", DeviceId: "L1", TokenId: "t4", Locked: true},
			"tok-limbo":  {UserId: "@limbo:x", DeviceId: "S1", TokenId: "t5", Suspended: true},
			"tok-guest":  {UserId: "@guest:x", DeviceId: "G1", TokenId: "t6", Guest: true},
		}},
	}
	e.poll = func(_ http.ResponseWriter, r *http.Request) error {
		<-r.Context().Done()
		return r.Context().Err()
	}
	cfg := gateway.Default()
	cfg.PublicURL = "https://chat.example.org"
	if opts.config != nil {
		opts.config(&cfg)
	}
	if opts.transport == nil {
		opts.transport = httpx.Local
	}
	bindings := e.bindings()
	for _, route := range opts.routes {
		bindings = append(bindings, httpx.Binding{Route: route, Handler: e.echo})
	}
	handler, err := httpx.NewServer("fake", bindings, httpx.Options{})
	require.NoError(t, err)
	s, err := gateway.New(cfg, gateway.Deps{
		Identity: e.identity, Clock: e.clock.Now, Rand: bytes.NewReader(make([]byte, 64)), RateLimits: opts.rateLimits, Bus: opts.bus,
		RoomVersions:     gateway.RoomVersions{Default: "12", Available: map[string]string{"11": "stable", "12": "stable"}},
		Foreign:          opts.foreign,
		Ready:            opts.ready,
		UnstableFeatures: map[string]bool{"org.example.feature": true},
		Upstreams:        []gateway.Upstream{{Service: "fake", Routes: httpx.Routes(bindings), Transport: opts.transport(handler)}},
	})
	require.NoError(t, err)
	e.service = s
	if opts.bus != nil {
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		t.Cleanup(func() {
			stop()
			require.NoError(t, <-done)
		})
	}
	conns, local := rpc.NewLocal(rpc.Options{})
	server := rpc.NewServer("gateway", rpc.Options{})
	s.Register(server)
	local.Add(server)
	e.forget = gatewaypb.NewGatewayClient(conns.Conn("gateway"))
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	e.url = web.URL
	return e
}

// bindings are a handful of real routes, of each kind.
func (e *edge) bindings() []httpx.Binding {
	const v3 = "/_matrix/client/v3"
	return []httpx.Binding{
		{Route: httpx.Route{Method: "GET", Path: v3 + "/account/whoami"}, Handler: e.echo},
		{Route: httpx.Route{Method: "POST", Path: v3 + "/login", Auth: httpx.AuthNone, Limit: httpx.LimitLogin, Once: true}, Handler: e.echo},
		{Route: httpx.Route{Method: "GET", Path: v3 + "/profile/{userId}", Auth: httpx.AuthOptional}, Handler: e.echo},
		{Route: httpx.Route{Method: "POST", Path: v3 + "/logout", Auth: httpx.AuthLocked}, Handler: e.echo},
		{Route: httpx.Route{Method: "POST", Path: v3 + "/createRoom", Limit: httpx.LimitRoom, Key: httpx.KeyUser}, Handler: e.echo},
		{Route: httpx.Route{Method: "PUT", Path: v3 + "/rooms/{roomId}/send/{eventType}/{txnId}", Limit: httpx.LimitMessage, Key: "roomId", MaxBody: 1000}, Handler: e.echo},
		{Route: httpx.Route{Method: "GET", Path: v3 + "/rooms/{roomId}/state/{eventType}/{stateKey}", Key: "roomId"}, Handler: e.echo},
		{Route: httpx.Route{Method: "GET", Path: v3 + "/sync", LongPoll: true, Limit: httpx.LimitNone, Key: httpx.KeyUser}, Handler: e.sync},
		{Route: httpx.Route{Method: "GET", Path: v3 + "/joined_rooms"}, Handler: func(http.ResponseWriter, *http.Request) error {
			return errors.New("the secret cause")
		}},
		{Route: httpx.Route{Method: "GET", Path: v3 + "/devices"}, Handler: func(http.ResponseWriter, *http.Request) error {
			panic(http.ErrAbortHandler)
		}},
	}
}

// echo answers what the service saw.
func (e *edge) echo(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.seen = append(e.seen, r.Clone(context.WithoutCancel(r.Context())))
	e.body = body
	e.mu.Unlock()
	c := httpx.CallerOf(r)
	httpx.WriteJSON(w, http.StatusOK, map[string]any{
		"user": c.UserID, "device": c.DeviceID, "token_id": c.TokenID, "admin": c.Admin, "guest": c.Guest,
		"suspended": c.Suspended, "locked": c.Locked, "request_id": c.RequestID, "idempotency": c.IdempotencyKey,
		"remote": c.RemoteAddr.String(), "key": r.Header.Get("X-Hongyan-Key"),
	})
	return nil
}

func (e *edge) sync(w http.ResponseWriter, r *http.Request) error {
	e.mu.Lock()
	poll := e.poll
	e.mu.Unlock()
	e.polls <- struct{}{}
	return poll(w, r)
}

// last is the request that the service saw last.
func (e *edge) last() *http.Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	require.NotEmpty(e.t, e.seen, "the service saw no request")
	return e.seen[len(e.seen)-1]
}

func (e *edge) requests() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.seen)
}

func (e *edge) forgetTokens(user string, devices ...string) {
	e.t.Helper()
	_, err := e.forget.ForgetTokens(e.t.Context(), &gatewaypb.ForgetTokensRequest{UserId: user, DeviceIds: devices})
	require.NoError(e.t, err)
}

// answer is a response with its body.
type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (a answer) code() string {
	code, _ := a.body["errcode"].(string)
	return code
}

type withRequest func(*http.Request)

func token(token string) withRequest {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func header(name, value string) withRequest {
	return func(r *http.Request) { r.Header.Add(name, value) }
}

func (e *edge) do(method, path string, body io.Reader, with ...withRequest) answer {
	e.t.Helper()
	a, err := e.try(method, path, body, with...)
	require.NoError(e.t, err)
	return a
}

func (e *edge) try(method, path string, body io.Reader, with ...withRequest) (answer, error) {
	r, err := http.NewRequestWithContext(e.t.Context(), method, e.url+path, body)
	if err != nil {
		return answer{}, err
	}
	for _, f := range with {
		f(r)
	}
	resp, err := http.DefaultTransport.RoundTrip(r) // no redirects, no cookies
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	_ = json.Unmarshal(raw, &a.body) // a page is no JSON
	return a, nil
}

func (e *edge) get(path string, with ...withRequest) answer {
	e.t.Helper()
	return e.do(http.MethodGet, path, http.NoBody, with...)
}
