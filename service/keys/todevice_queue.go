package keys

import (
	"context"
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	keyspb "hongyan/api/keys"
	"hongyan/platform/once"
)

const (
	// toDeviceLimit is how many messages one answer gives where the question says nothing, maxToDeviceLimit how many at
	// most (client-server API, "Send-to-Device messaging").
	toDeviceLimit    = 100
	maxToDeviceLimit = 1000
	// toDeviceBytes is how large the messages of one answer are together, but for the last one.
	toDeviceBytes = 1 << 20
)

// waiting answers what waits for a device.
func (s *Service) waiting(ctx context.Context, req *keyspb.ToDeviceRequest) (*keyspb.ToDeviceResponse, error) {
	through, limit := req.GetThrough(), int(req.GetLimit())
	if through == 0 {
		through = math.MaxInt64
	}
	if limit <= 0 {
		limit = toDeviceLimit
	}
	messages, more, err := s.store.ToDevice(
		ctx, req.GetUserId(), req.GetDeviceId(), req.GetAfter(), through, min(limit, maxToDeviceLimit), toDeviceBytes)
	if err != nil {
		return nil, err
	}
	resp := &keyspb.ToDeviceResponse{Messages: make([]*keyspb.PositionedMessage, len(messages)), More: more}
	for i, m := range messages {
		var body keyspb.ToDeviceMessage
		if err := proto.Unmarshal(m.Body, &body); err != nil {
			return nil, fmt.Errorf("read message at %d: %w", m.Position, err)
		}
		resp.Messages[i] = &keyspb.PositionedMessage{Position: m.Position, Message: body.GetMessage()}
	}
	return resp, nil
}

// forgetToDevice forgets the messages to devices that were removed, of which it is said when they were made, and what they had sent. What is for a later device of
// the same id stays, whatever the clocks of identity's instances say.
func (s *Service) forgetToDevice(ctx context.Context, userID string, removed map[string]int64) error {
	ids := make([]string, 0, len(removed))
	for id := range removed {
		ids = append(ids, id)
	}
	there, err := s.identityDevices(ctx, userID, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		before := removed[id] + 1
		if d := there[id]; d != nil {
			before = min(before, d.GetCreatedMs())
		}
		if err := s.store.ForgetMessages(ctx, userID, id, before); err != nil {
			return err
		}
		if err := s.users.ForgetTxns(ctx, once.Scope(scopeToDevice, userID, id, "")); err != nil {
			return err
		}
	}
	return nil
}
