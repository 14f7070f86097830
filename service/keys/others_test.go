package keys_test

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	keyspb "hongyan/api/keys"
	roompb "hongyan/api/room"
)

// room is a room service. Its users share no rooms, unless peers says otherwise.
type room struct {
	roompb.RoomClient

	mu    sync.Mutex
	peers func(*roompb.PeersRequest) *roompb.PeersResponse
}

// set says with whom users share rooms.
func (r *room) set(peers func(*roompb.PeersRequest) *roompb.PeersResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peers = peers
}

// Peers implements roompb.RoomClient.
func (r *room) Peers(_ context.Context, req *roompb.PeersRequest, _ ...grpc.CallOption) (*roompb.PeersResponse, error) {
	r.mu.Lock()
	peers := r.peers
	r.mu.Unlock()
	if peers == nil {
		return &roompb.PeersResponse{}, nil
	}
	return peers(req), nil
}

// owners are the instances of which keys are claimed.
type owners struct {
	keyspb.KeysClient

	mu   sync.Mutex
	fail func(ctx context.Context, user string) error
}

// set says of whom no keys can be claimed.
func (o *owners) set(fail func(ctx context.Context, user string) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail = fail
}

// Claim implements keyspb.KeysClient.
func (o *owners) Claim(ctx context.Context, req *keyspb.ClaimRequest, options ...grpc.CallOption) (*keyspb.ClaimResponse, error) {
	o.mu.Lock()
	fail := o.fail
	o.mu.Unlock()
	if fail != nil {
		if err := fail(ctx, req.GetUserId()); err != nil {
			return nil, err
		}
	}
	return o.KeysClient.Claim(ctx, req, options...)
}
