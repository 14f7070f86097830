package room

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/zeromicro/go-zero/core/logx"

	syncpb "hongyan/api/sync"
	"hongyan/matrix/event"
	"hongyan/matrix/filter"
	"hongyan/platform/httpx"
	"hongyan/service/room/internal/store"
)

// getInitialSync is GET /rooms/{roomId}/initialSync: what somebody needs who looks into a room.
func (s *Service) getInitialSync(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	v, caller, err := s.openRoom(r)
	if err != nil {
		return err
	}
	at, ok := stateThrough(v)
	if !ok {
		return errNoAccess()
	}
	through, _ := v.timelineThrough()
	q := httpx.ReadQuery(r.URL)
	limit := q.Int("limit", defaultPage, 0, maxPage)
	if err := q.Err(); err != nil {
		return err
	}
	ignored, err := s.reads.ignoredBy(ctx, caller.UserID)
	if err != nil {
		return err
	}
	p, err := s.reads.backward(ctx, v, 0, through, int(limit), match(filter.DefaultRoomEvents(), ignored))
	if err != nil {
		return err
	}
	events := make([]shown, len(p.events))
	for i, e := range p.events {
		events[len(events)-1-i] = e
	}
	state, err := s.reads.state(ctx, v, at, store.Selection{})
	if err != nil {
		return err
	}
	end, err := s.reads.token(ctx, v, place{through, -1})
	if err != nil {
		return err
	}
	visibility, _, err := s.store.Visibility(ctx, v.Name)
	if err != nil {
		return err
	}
	out := s.reads.writer(v, caller.DeviceID)
	var messages, b body
	if p.more {
		start, err := s.reads.token(ctx, v, p.end)
		if err != nil {
			return err
		}
		messages.text("start", start)
	}
	messages.text("end", end)
	messages.events("chunk", out, events)
	b.json("room_id", v.Name)
	switch m := event.Membership(v.Membership); m {
	case event.Join, event.Invite, event.Leave, event.Ban:
		b.json("membership", m)
	}
	b.object("messages", &messages)
	b.events("state", out, state)
	b.json("visibility", visibility)
	b.json("account_data", s.reads.roomData(ctx, caller.UserID, v.Name))
	return b.answer(w)
}

// dataEvent is account data as clients see it.
type dataEvent struct {
	Type    string          `json:"type"`
	Content json.RawMessage `json:"content"`
}

// roomData is what a user has attached to a room; nothing while sync, which has it, cannot be asked.
func (r *reads) roomData(ctx context.Context, userID, roomID string) []dataEvent {
	list := []dataEvent{}
	if r.data == nil {
		return list
	}
	asked, cancel := context.WithTimeout(ctx, ignoredPatience)
	defer cancel()
	resp, err := r.data.AccountData(asked, &syncpb.AccountDataRequest{UserId: userID, RoomId: roomID})
	if err != nil {
		logx.WithContext(ctx).Infof("ask what %s has attached to %s, leaving it out: %v", userID, roomID, err)
	}
	for _, d := range resp.GetData() {
		list = append(list, dataEvent{Type: d.GetType(), Content: d.GetContent()})
	}
	return list
}
