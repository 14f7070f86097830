package room

import (
	"context"
	"net/http"

	"hongyan/matrix"
	"hongyan/platform/eventlog"
)

// RivalSubject is where who loses asks for a turn.
const RivalSubject = rivalSubject

// Send is an operation that calls before and then adds an event, each time it runs.
func (s *Service) Send(ctx context.Context, roomID, user, typ string, before func()) ([]byte, error) {
	return s.operate(ctx, roomID, eventlog.Txn{}, func(ctx context.Context, w *working) ([]byte, error) {
		before()
		ev, err := w.add(ctx, draft{sender: matrix.UserID(user), typ: typ, content: []byte("{}")})
		if err != nil {
			return nil, err
		}
		return eventAnswer(ev.ID()), nil
	})
}

// HasRival tells whether another instance is reckoned with at a room.
func (s *Service) HasRival(roomID string) bool {
	r := s.rooms.peek(roomID)
	return r != nil && r.rival.active()
}

// Waiting is how many operations wait for their turn at a room.
func (s *Service) Waiting(roomID string) int {
	r := s.rooms.get(roomID)
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue)
}

// ReplaceRoom does the first half of an upgrade, as an instance does that ends then.
func (s *Service) ReplaceRoom(r *http.Request, roomID, version string) (string, error) {
	r.SetPathValue("roomId", roomID)
	q, err := readRequest(r)
	if err != nil {
		return "", err
	}
	old, err := s.inspect(r.Context(), roomID, func(*working) error { return nil })
	if err != nil {
		return "", err
	}
	id, err := s.replace(r.Context(), q, old, upgradeBody{NewVersion: &version})
	return string(id), err
}
