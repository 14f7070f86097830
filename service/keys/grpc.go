package keys

import (
	"context"

	keyspb "hongyan/api/keys"
)

// keysServer serves hongyan.keys.v1.Keys.
type keysServer struct {
	keyspb.UnimplementedKeysServer
	s *Service
}

// Counts implements keyspb.KeysServer.
func (g keysServer) Counts(ctx context.Context, req *keyspb.CountsRequest) (*keyspb.CountsResponse, error) {
	// The position is read first: the counts are not older.
	changed, err := g.s.store.CountsChanged(ctx, req.GetUserId(), req.GetDeviceId())
	if err != nil {
		return nil, apiError(err)
	}
	counts, err := g.s.store.Counts(ctx, g.s.deps.DB, req.GetUserId(), req.GetDeviceId())
	if err != nil {
		return nil, apiError(err)
	}
	return &keyspb.CountsResponse{OneTime: counts.OneTime, UnusedFallback: counts.UnusedFallback, ChangedPosition: changed}, nil
}

// ToDevice implements keyspb.KeysServer.
func (g keysServer) ToDevice(ctx context.Context, req *keyspb.ToDeviceRequest) (*keyspb.ToDeviceResponse, error) {
	resp, err := g.s.waiting(ctx, req)
	return resp, apiError(err)
}

// Acknowledge implements keyspb.KeysServer.
func (g keysServer) Acknowledge(ctx context.Context, req *keyspb.AcknowledgeRequest) (*keyspb.AcknowledgeResponse, error) {
	deleted, err := g.s.store.Acknowledge(ctx, req.GetUserId(), req.GetDeviceId(), req.GetThrough())
	if err != nil {
		return nil, apiError(err)
	}
	g.s.metrics.acknowledged.Add(float64(deleted))
	return &keyspb.AcknowledgeResponse{}, nil
}
