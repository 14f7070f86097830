package room_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	identitypb "hongyan/api/identity"
	logpb "hongyan/api/log"
	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/matrix/auth"
	"hongyan/matrix/event"
	"hongyan/platform/bus"
	"hongyan/platform/bus/memory"
	"hongyan/platform/eventlog"
	"hongyan/platform/eventlog/logrpc"
	"hongyan/platform/httpx"
	"hongyan/platform/rpc"
	"hongyan/platform/sqldb"
	"hongyan/service/room"
	"hongyan/test/openapi"
)

// people is the identity service as rooms see it: profiles, and a real log of their changes.
type people struct {
	identitypb.IdentityClient
	t   testing.TB
	log *eventlog.Log

	mu       sync.Mutex
	profiles map[string]*identitypb.Profile
	asked    int
	// asking, where set, is called once, between the reading of a user's profile and the answer.
	asking     func()
	askingUser string
}

func newPeople(t testing.TB, wakes bus.Bus) *people {
	ctx, cancel := context.WithCancel(context.Background())
	db, err := sqldb.Open(ctx, sqldb.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "identity.db")})
	require.NoError(t, err)
	log, err := eventlog.Open(ctx, db, eventlog.Schema{Name: "identity", Shards: 4}, eventlog.Config{
		OnCommit: logrpc.Waker(wakes, "identity"),
	})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- log.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, db.Close())
	})
	return &people{t: t, log: log, profiles: map[string]*identitypb.Profile{}}
}

// Profiles implements identitypb.IdentityClient.
func (p *people) Profiles(_ context.Context, req *identitypb.ProfilesRequest, _ ...grpc.CallOption) (*identitypb.ProfilesResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	resp := &identitypb.ProfilesResponse{}
	for _, id := range req.UserIds {
		if known := p.profiles[id]; known != nil {
			resp.Profiles = append(resp.Profiles, proto.Clone(known).(*identitypb.Profile))
		}
	}
	if asking := p.asking; asking != nil && slices.Contains(req.UserIds, p.askingUser) {
		p.asking = nil
		p.mu.Unlock()
		asking()
		p.mu.Lock()
	}
	return resp, nil
}

// Users implements identitypb.IdentityClient: those whose names begin with "guest" are guests.
func (p *people) Users(_ context.Context, req *identitypb.UsersRequest, _ ...grpc.CallOption) (*identitypb.UsersResponse, error) {
	resp := &identitypb.UsersResponse{}
	for _, id := range req.UserIds {
		resp.Users = append(resp.Users, &identitypb.User{UserId: id, Guest: strings.HasPrefix(id, "@guest")})
	}
	return resp, nil
}

// askedSoFar is how often profiles were asked for.
func (p *people) askedSoFar() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// set changes a profile without telling the log.
func (p *people) set(user, name, avatar string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := userID(user)
	p.profiles[id] = &identitypb.Profile{UserId: id, DisplayName: &name, AvatarUrl: &avatar}
}

// remove deactivates a user without telling the log.
func (p *people) remove(user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.profiles, userID(user))
}

// setAsking has f called when somebody next asks for a user's profile.
func (p *people) setAsking(f func(), user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asking, p.askingUser = f, userID(user)
}

// tell appends to the log.
func (p *people) tell(user string, kind identitypb.UserEventKind, fields ...string) {
	p.tellOf(user, kind, &identitypb.UserEvent{Fields: fields})
}

func (p *people) tellOf(user string, kind identitypb.UserEventKind, e *identitypb.UserEvent) {
	ctx := context.Background()
	stream, err := p.log.Stream(ctx, userID(user))
	require.NoError(p.t, err)
	body, err := proto.Marshal(e)
	require.NoError(p.t, err)
	_, err = p.log.Append(ctx, eventlog.Append{Stream: stream, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{{
		Kind: eventlog.Kind(kind), Ref: fmt.Sprintf("%s-%d", user, time.Now().UnixNano()), Body: body,
	}}})
	require.NoError(p.t, err)
}

// Heads and Read implement logpb.LogClient.
func (p *people) Heads(ctx context.Context, _ *logpb.HeadsRequest, _ ...grpc.CallOption) (*logpb.HeadsResponse, error) {
	h, err := p.log.Heads(ctx)
	return &logpb.HeadsResponse{Epoch: h.Epoch, Shard: h.Shard}, err
}

func (p *people) Read(ctx context.Context, req *logpb.ReadRequest, _ ...grpc.CallOption) (*logpb.ReadResponse, error) {
	records, through, err := p.log.Read(ctx, int(req.Shard), req.After, int(req.Limit))
	resp := &logpb.ReadResponse{Through: through}
	for _, r := range records {
		resp.Records = append(resp.Records, &logpb.Record{
			Position: r.Position, Stream: r.Name, Seq: r.Seq, Kind: int32(r.Kind), Ref: r.Ref, Body: r.Body,
		})
	}
	return resp, err
}

// world is a rig whose identity service has people in it.
type world struct {
	*rig
	people *people
	closed *closedDoors
	wakes  bus.Bus
	log    logpb.LogClient
	// stop ends Run and waits for it.
	stop func()
}

func onBothWorlds(t *testing.T, test func(t *testing.T, g *world)) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) { test(t, newWorld(t, open(t), nil)) })
	}
}

// newWorld starts a room service. Its people are those of another one where that is given: a second instance.
func newWorld(t testing.TB, databaseURL string, first *world) *world {
	return newWorldWith(t, databaseURL, first, room.Default())
}

func newWorldWith(t testing.TB, databaseURL string, first *world, cfg room.Config) *world {
	return newWorldOf(t, databaseURL, first, cfg, nil)
}

// newWorldOf is newWorldWith on a clock, time.Now where nil.
func newWorldOf(t testing.TB, databaseURL string, first *world, cfg room.Config, clock func() time.Time) *world {
	return newWorldOn(t, databaseURL, first, cfg, room.Deps{Clock: clock})
}

// newWorldOn is newWorldWith on some dependencies of the test's own.
func newWorldOn(t testing.TB, databaseURL string, first *world, cfg room.Config, deps room.Deps) *world {
	ctx, cancel := context.WithCancel(context.Background())
	db, err := sqldb.Open(ctx, sqldb.Config{URL: databaseURL})
	require.NoError(t, err)
	g := &world{rig: &rig{t: t, db: db}}
	if first != nil {
		g.wakes, g.people, g.closed = first.wakes, first.people, first.closed
	} else {
		wakes := memory.New(64)
		t.Cleanup(func() { require.NoError(t, wakes.Close()) })
		g.wakes, g.people = wakes, newPeople(t, wakes)
		g.closed = &closedDoors{SyncClient: &ignoring{}}
	}
	deps.DB, deps.Bus, deps.Identity, deps.IdentityLog, deps.Sync, deps.Server = db, g.wakes, g.people, g.people, g.closed, "hs"
	g.service, err = room.New(cfg, deps)
	require.NoError(t, err)
	require.NoError(t, g.service.Prepare(ctx))
	done := make(chan error, 1)
	go func() { done <- g.service.Run(ctx) }()
	g.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(func() {
		g.stop()
		require.NoError(t, db.Close())
	})
	server := rpc.NewServer("room", rpc.Options{})
	g.service.Register(server)
	conns, local := rpc.NewLocal(rpc.Options{})
	local.Add(server)
	g.handler = openapi.Handler(t, g.service.Handler())
	g.client, g.log = roompb.NewRoomClient(conns.Conn("room")), logpb.NewLogClient(conns.Conn("room"))
	return g
}

// await waits until a condition holds.
func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, 5*time.Millisecond, what)
}

// createWith makes a room of a user's and returns its id.
func (g *rig) createWith(user string, body map[string]any) string {
	g.t.Helper()
	return g.ok(http.MethodPost, user, "/createRoom", body).str("room_id")
}

// content reads a state event as a member sees it; nil where there is none.
func (g *rig) content(user, roomID, eventType, key string) map[string]any {
	g.t.Helper()
	a := g.get(user, roomPath(roomID, "state", eventType, key))
	if a.status == http.StatusNotFound {
		return nil
	}
	require.Equal(g.t, http.StatusOK, a.status, string(a.body))
	return a.object()
}

// pdus reads all events of a room from the log, in the room's order.
func (g *world) pdus(roomID string, version event.RoomVersion) []*event.Event {
	g.t.Helper()
	ctx := context.Background()
	heads, err := g.log.Heads(ctx, &logpb.HeadsRequest{})
	require.NoError(g.t, err)
	var records []*logpb.Record
	for shard := range heads.Shard {
		for after := int64(0); ; {
			page, err := g.log.Read(ctx, &logpb.ReadRequest{Shard: int32(shard), After: after, Limit: 100})
			require.NoError(g.t, err)
			for _, r := range page.Records {
				if r.Stream == roomID && r.Kind == int32(roompb.EntryKind_ENTRY_KIND_EVENT) {
					records = append(records, r)
				}
			}
			if page.Through == after {
				break
			}
			after = page.Through
		}
	}
	slices.SortFunc(records, func(a, b *logpb.Record) int { return int(a.Seq - b.Seq) })
	events := make([]*event.Event, len(records))
	for i, r := range records {
		require.EqualValues(g.t, i+1, r.Seq, "a room's sequence has no gap")
		events[i], err = event.ParseWithID(version, matrix.EventID(r.Ref), r.Doc)
		require.NoError(g.t, err)
	}
	return events
}

// verify proves that a room is a chain of events of which each is allowed by the state before it and names exactly
// what authorises it.
func (g *world) verify(roomID string, version event.RoomVersion) []*event.Event {
	g.t.Helper()
	events := g.pdus(roomID, version)
	byID := map[matrix.EventID]*event.Event{}
	var before []*event.Event
	for i, e := range events {
		state, err := auth.NewMap(before...)
		require.NoError(g.t, err)
		require.NoError(g.t, auth.Allowed(e, state), "event %d, %s", i, e.Type())
		if i > 0 {
			require.Equal(g.t, []matrix.EventID{events[i-1].ID()}, e.PrevEvents())
			var named []*event.Event
			for _, id := range e.AuthEvents() {
				require.Contains(g.t, byID, id)
				named = append(named, byID[id])
			}
			require.NoError(g.t, auth.CheckSelection(e, named))
		}
		require.EqualValues(g.t, i+1, e.Depth())
		parsed, err := event.Parse(version, e.JSON())
		require.NoError(g.t, err)
		require.Equal(g.t, e.ID(), parsed.ID(), "the id is the hash of the event")
		require.EqualValues(g.t, roomID, e.RoomID())
		byID[e.ID()] = e
		if e.IsState() {
			before = append(before, e)
		}
	}
	return events
}

// doBody sends a body as it is.
func (g *rig) doBody(caller httpx.Caller, method, path string, body []byte) answer {
	g.t.Helper()
	r := httptest.NewRequest(method, "/_matrix/client/v3"+path, bytes.NewReader(body))
	httpx.SetCaller(r.Header, caller)
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	return answer{w.Code, w.Body.Bytes()}
}

// at is the rig for a test within the one that made it.
func (g *rig) at(t testing.TB) *rig {
	return &rig{t: t, service: g.service, handler: g.handler, client: g.client, db: g.db}
}
