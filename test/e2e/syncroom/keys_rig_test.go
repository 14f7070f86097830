package syncroom_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	identitypb "hongyan/api/identity"
	keyspb "hongyan/api/keys"
	logpb "hongyan/api/log"
	"hongyan/matrix/canonicaljson"
	"hongyan/platform/rpc"
	"hongyan/platform/sqldb"
	"hongyan/service/keys"
	"hongyan/test/openapi"
	"hongyan/test/pgtest"
)

// Devices implements identitypb.IdentityClient: every user has every device that somebody asks for, and one besides.
func (nobody) Devices(_ context.Context, req *identitypb.DevicesRequest, _ ...grpc.CallOption) (*identitypb.DevicesResponse, error) {
	resp := &identitypb.DevicesResponse{}
	for _, u := range req.GetUsers() {
		ids := u.GetDeviceIds()
		if len(ids) == 0 {
			name, _, _ := strings.Cut(strings.TrimPrefix(u.GetUserId(), "@"), ":")
			ids = []string{"D" + name}
		}
		for _, id := range ids {
			resp.Devices = append(resp.Devices, &identitypb.Device{UserId: u.GetUserId(), DeviceId: id, CreatedMs: 1})
		}
	}
	return resp, nil
}

// CheckAuth implements identitypb.IdentityClient: everybody is through.
func (nobody) CheckAuth(context.Context, *identitypb.CheckAuthRequest, ...grpc.CallOption) (*identitypb.CheckAuthResponse, error) {
	return &identitypb.CheckAuthResponse{}, nil
}

// How the keys service is for those who ask it.
const (
	well int32 = iota
	// down answers errors, stuck does not answer.
	down
	stuck
)

// brittle is the keys service over a connection that may break. It counts what is asked.
type brittle struct {
	keyspb.KeysClient
	logpb.LogClient
	mode  atomic.Int32
	asked atomic.Int64
	// burden is a user whose messages take longer to read than anybody waits.
	burden atomic.Pointer[string]
}

func (b *brittle) pass(ctx context.Context) error {
	switch b.mode.Load() {
	case down:
		return status.Error(codes.Unavailable, "the keys service is down")
	case stuck:
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (b *brittle) Counts(ctx context.Context, req *keyspb.CountsRequest, opts ...grpc.CallOption) (*keyspb.CountsResponse, error) {
	b.asked.Add(1)
	if err := b.pass(ctx); err != nil {
		return nil, err
	}
	return b.KeysClient.Counts(ctx, req, opts...)
}

func (b *brittle) ToDevice(ctx context.Context, req *keyspb.ToDeviceRequest, opts ...grpc.CallOption) (*keyspb.ToDeviceResponse, error) {
	b.asked.Add(1)
	if burden := b.burden.Load(); burden != nil && *burden == req.GetUserId() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := b.pass(ctx); err != nil {
		return nil, err
	}
	return b.KeysClient.ToDevice(ctx, req, opts...)
}

func (b *brittle) Acknowledge(
	ctx context.Context, req *keyspb.AcknowledgeRequest, opts ...grpc.CallOption,
) (*keyspb.AcknowledgeResponse, error) {
	b.asked.Add(1)
	if err := b.pass(ctx); err != nil {
		return nil, err
	}
	return b.KeysClient.Acknowledge(ctx, req, opts...)
}

func (b *brittle) DeviceListChanges(
	ctx context.Context, req *keyspb.DeviceListChangesRequest, opts ...grpc.CallOption,
) (*keyspb.DeviceListChangesResponse, error) {
	b.asked.Add(1)
	if err := b.pass(ctx); err != nil {
		return nil, err
	}
	return b.KeysClient.DeviceListChanges(ctx, req, opts...)
}

func (b *brittle) Heads(ctx context.Context, req *logpb.HeadsRequest, opts ...grpc.CallOption) (*logpb.HeadsResponse, error) {
	if err := b.pass(ctx); err != nil {
		return nil, err
	}
	return b.LogClient.Heads(ctx, req, opts...)
}

func (b *brittle) Read(ctx context.Context, req *logpb.ReadRequest, opts ...grpc.CallOption) (*logpb.ReadResponse, error) {
	if err := b.pass(ctx); err != nil {
		return nil, err
	}
	return b.LogClient.Read(ctx, req, opts...)
}

// startKeys starts the keys service on a database of the same kind as that of the rooms.
func (g *rig) startKeys(like string) {
	ctx, cancel := context.WithCancel(context.Background())
	url := "sqlite:" + filepath.Join(g.t.TempDir(), "keys.db")
	if !strings.HasPrefix(like, "sqlite:") {
		url = pgtest.Start(g.t)
	}
	db, err := sqldb.Open(ctx, sqldb.Config{URL: url})
	require.NoError(g.t, err)
	conns, local := rpc.NewLocal(rpc.Options{})
	client := keyspb.NewKeysClient(conns.Conn("keys"))
	service, err := keys.New(keys.Default(), keys.Deps{
		DB: db, Bus: g.bus, Identity: nobody{}, IdentityLog: nobody{}, Keys: client, Room: g.room, Server: "hs",
	})
	require.NoError(g.t, err)
	require.NoError(g.t, service.Prepare(ctx))
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()
	g.t.Cleanup(func() {
		cancel()
		require.NoError(g.t, <-done)
		require.NoError(g.t, db.Close())
	})
	server := rpc.NewServer("keys", rpc.Options{})
	service.Register(server)
	local.Add(server)
	g.keyring = openapi.Handler(g.t, service.Handler())
	g.keys = &brittle{KeysClient: client, LogClient: logpb.NewLogClient(conns.Conn("keys"))}
}

// ring sends a request to the keys service that must succeed.
func (c *client) ring(method, path string, body any) map[string]any {
	c.g.t.Helper()
	a := c.do(c.g.keyring, method, path, body)
	require.Equal(c.g.t, http.StatusOK, a.status, string(a.body))
	return a.object()
}

// signed is a key that looks signed.
func (c *client) signed(text string) map[string]any {
	return map[string]any{"key": text, "signatures": map[string]any{c.user: map[string]any{"ed25519:" + c.device: "signature"}}}
}

// uploadOneTime uploads one-time keys, named from a number on.
func (c *client) uploadOneTime(from, n int) {
	c.g.t.Helper()
	all := map[string]any{}
	for i := range n {
		all[fmt.Sprintf("signed_curve25519:%04d", from+i)] = c.signed(fmt.Sprint(from + i))
	}
	c.ring(http.MethodPost, "/keys/upload", map[string]any{"one_time_keys": all})
}

// changeDevice uploads device keys of a new device of the user, which changes the device list.
func (c *client) changeDevice() {
	c.g.t.Helper()
	id := fmt.Sprintf("NEW%d", c.g.txn.Add(1))
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(c.g.t, err)
	o := map[string]any{
		"user_id": c.user, "device_id": id, "algorithms": []string{"m.megolm.v1.aes-sha2"},
		"keys": map[string]any{"ed25519:" + id: base64.RawStdEncoding.EncodeToString(public), "curve25519:" + id: "curve"},
	}
	raw, err := canonicaljson.Marshal(o)
	require.NoError(c.g.t, err)
	o["signatures"] = map[string]any{c.user: map[string]any{
		"ed25519:" + id: base64.RawStdEncoding.EncodeToString(ed25519.Sign(private, raw)),
	}}
	other := *c
	other.device = id
	other.ring(http.MethodPost, "/keys/upload", map[string]any{"device_keys": o})
}

// sendTo sends a message to a device.
func (c *client) sendTo(to *client, text string) {
	c.g.t.Helper()
	c.ring(http.MethodPut, fmt.Sprintf("/sendToDevice/m.dummy/t%d", c.g.txn.Add(1)), map[string]any{
		"messages": map[string]any{to.user: map[string]any{to.device: map[string]any{"body": text}}},
	})
}

// encrypted creates a public encrypted room.
func (c *client) encrypted() string {
	c.g.t.Helper()
	return c.create(map[string]any{"preset": "public_chat", "initial_state": []any{encryption}})
}

var encryption = map[string]any{"type": "m.room.encryption", "state_key": "", "content": map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}}

// mail are the texts of the messages to the device.
func (r result) mail() []string {
	out := []string{}
	for _, e := range r.list("to_device", "events") {
		out = append(out, e.str("content", "body"))
	}
	return out
}

// names are the local parts of a list of users.
func (r result) names(path ...string) []string {
	out := []string{}
	for _, u := range r.list(path...) {
		name, _, _ := strings.Cut(strings.TrimPrefix(u.v.(string), "@"), ":")
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (r result) changed() []string { return r.names("device_lists", "changed") }
func (r result) left() []string    { return r.names("device_lists", "left") }
func (r result) oneTime() int      { return r.num("device_one_time_keys_count", "signed_curve25519") }

// stored are the messages that wait for a device, acknowledged or not.
func (c *client) stored() int {
	c.g.t.Helper()
	resp, err := c.g.keys.KeysClient.ToDevice(context.Background(), &keyspb.ToDeviceRequest{UserId: c.user, DeviceId: c.device, Limit: 1000})
	require.NoError(c.g.t, err)
	return len(resp.GetMessages())
}

// another is another device of the same user.
func (c *client) another(device string) *client {
	return &client{g: c.g, node: c.node, user: c.user, device: device}
}
