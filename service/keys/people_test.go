package keys_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	identitypb "hongyan/api/identity"
	logpb "hongyan/api/log"
	"hongyan/platform/bus"
	"hongyan/platform/eventlog"
	"hongyan/platform/eventlog/logrpc"
	"hongyan/platform/sqldb"
)

// people is the identity service as keys see it: devices, a password, and a real log of what happens to them.
type people struct {
	identitypb.IdentityClient
	logpb.LogClient
	t   testing.TB
	log *eventlog.Log

	mu      sync.Mutex
	devices map[string]map[string]*identitypb.Device
	clock   int64
	// challenged counts the steps of authentication that were asked for.
	challenged int
	// asking, where set, is called once, after devices were read and before they are told.
	asking func()
	// proving, where set, is called while a password is checked.
	proving func()
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
	return &people{t: t, log: log, devices: map[string]map[string]*identitypb.Device{}, clock: time.Now().UnixMilli()}
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

// Devices implements identitypb.IdentityClient.
func (p *people) Devices(_ context.Context, req *identitypb.DevicesRequest, _ ...grpc.CallOption) (*identitypb.DevicesResponse, error) {
	p.mu.Lock()
	resp := &identitypb.DevicesResponse{}
	for _, u := range req.GetUsers() {
		for id, d := range p.devices[u.GetUserId()] {
			if len(u.GetDeviceIds()) == 0 || slices.Contains(u.GetDeviceIds(), id) {
				resp.Devices = append(resp.Devices, proto.Clone(d).(*identitypb.Device))
			}
		}
	}
	asking := p.asking
	p.asking = nil
	p.mu.Unlock()
	if asking != nil {
		asking()
	}
	return resp, nil
}

// Users implements identitypb.IdentityClient.
func (p *people) Users(_ context.Context, req *identitypb.UsersRequest, _ ...grpc.CallOption) (*identitypb.UsersResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	resp := &identitypb.UsersResponse{}
	for _, id := range req.GetUserIds() {
		if p.devices[id] != nil {
			resp.Users = append(resp.Users, &identitypb.User{UserId: id})
		}
	}
	return resp, nil
}

// CheckAuth implements identitypb.IdentityClient: whoever says "password" is through.
func (p *people) CheckAuth(
	_ context.Context, req *identitypb.CheckAuthRequest, _ ...grpc.CallOption,
) (*identitypb.CheckAuthResponse, error) {
	p.mu.Lock()
	p.challenged++
	proving := p.proving
	p.mu.Unlock()
	if proving != nil {
		proving()
	}
	var body struct {
		Auth struct{ Password string }
	}
	require.NoError(p.t, json.Unmarshal(req.GetBody(), &body))
	require.Equal(p.t, "POST /_matrix/client/v3/keys/device_signing/upload", req.GetMethod()+" "+req.GetPath())
	if body.Auth.Password == "password" {
		return &identitypb.CheckAuthResponse{}, nil
	}
	return &identitypb.CheckAuthResponse{Challenge: []byte(`{"flows":[{"stages":["m.login.password"]}],"params":{},"session":"s"}`)}, nil
}

// add logs a device in.
func (p *people) add(user, device, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := userID(user)
	if p.devices[id] == nil {
		p.devices[id] = map[string]*identitypb.Device{}
	}
	p.clock++
	d := &identitypb.Device{UserId: id, DeviceId: device, CreatedMs: p.clock}
	if name != "" {
		d.DisplayName = &name
	}
	p.devices[id][device] = d
}

// register makes a user without devices.
func (p *people) register(user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.devices[userID(user)] = map[string]*identitypb.Device{}
}

// drop removes a device and does not tell. It returns when the device was made.
func (p *people) drop(user, device string) (createdMs int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock++
	createdMs = p.devices[userID(user)][device].GetCreatedMs()
	delete(p.devices[userID(user)], device)
	return createdMs
}

// rename gives a device another name and tells.
func (p *people) rename(user, device, name string) {
	p.mu.Lock()
	p.devices[userID(user)][device].DisplayName = &name
	p.mu.Unlock()
	p.tell(user, identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_CHANGED, device)
}

// remove removes a device and tells.
func (p *people) remove(user, device string) {
	p.removeAt(p.now(), user, device)
}

// removeAt is remove by an instance of identity whose clock shows another time, in milliseconds.
func (p *people) removeAt(now int64, user, device string) {
	created := p.drop(user, device)
	p.tellOf(user, identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_REMOVED, &identitypb.UserEvent{
		DeviceIds: []string{device}, DeviceCreatedMs: []int64{created}, TsMs: now,
	})
}

func (p *people) now() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clock
}

// tell appends to the log.
func (p *people) tell(user string, kind identitypb.UserEventKind, devices ...string) {
	p.tellAt(p.now(), user, kind, devices...)
}

// tellAt is tell of what happened at another time, in milliseconds.
func (p *people) tellAt(now int64, user string, kind identitypb.UserEventKind, devices ...string) {
	p.tellOf(user, kind, &identitypb.UserEvent{DeviceIds: devices, TsMs: now})
}

// tellOf is tell of an event.
func (p *people) tellOf(user string, kind identitypb.UserEventKind, event *identitypb.UserEvent) {
	ctx := context.Background()
	stream, err := p.log.Stream(ctx, userID(user))
	require.NoError(p.t, err)
	event.UserId = userID(user)
	body, err := proto.Marshal(event)
	require.NoError(p.t, err)
	_, err = p.log.Append(ctx, eventlog.Append{Stream: stream, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{{
		Kind: eventlog.Kind(kind), Ref: fmt.Sprintf("%s-%d", user, time.Now().UnixNano()), Body: body,
	}}})
	require.NoError(p.t, err)
}

func (p *people) steps() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.challenged
}

func (p *people) setAsking(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asking = f
}

func userID(name string) string { return "@" + name + ":hs" }
