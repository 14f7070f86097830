package keys

import (
	"context"

	keyspb "hongyan/api/keys"
	"hongyan/matrix"
	"hongyan/service/keys/internal/store"
)

// maxChanges is how many changed users one answer has at most.
const maxChanges = 10_000

// DeviceListChanges implements keyspb.KeysServer.
func (g keysServer) DeviceListChanges(
	ctx context.Context, req *keyspb.DeviceListChangesRequest,
) (*keyspb.DeviceListChangesResponse, error) {
	limit := int(req.GetLimit())
	if limit < 0 || req.GetAfter() < 0 || req.GetThrough() < 0 {
		return nil, matrix.NewError(matrix.CodeInvalidParam, "Positions and limits are not negative.")
	}
	if limit == 0 || limit > maxChanges {
		limit = maxChanges
	}
	changes, err := g.s.store.Changes(ctx, store.Range{
		After: req.GetAfter(), Through: req.GetThrough(), Users: req.GetUsers(), Viewer: req.GetViewer(), Limit: limit + 1,
	})
	if err != nil {
		return nil, apiError(err)
	}
	resp := &keyspb.DeviceListChangesResponse{More: len(changes) > limit}
	for _, c := range changes[:min(limit, len(changes))] {
		resp.Users = append(resp.Users, &keyspb.DeviceListChange{UserId: c.UserID, Position: c.Position})
	}
	return resp, nil
}
