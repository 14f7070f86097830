package sync

import (
	"context"
	"slices"

	roompb "hongyan/api/room"
	"hongyan/matrix/canonicaljson"
)

// appendStripped appends the rooms that the user is invited to or knocks at, with what may be known of them.
func (a *answer) appendStripped(ctx context.Context, dst *[]byte, sec *sections) error {
	for _, s := range [...]struct {
		name, state string
		rooms       []string
	}{{"invite", "invite_state", sec.invited}, {"knock", "knock_state", sec.knocked}} {
		if len(s.rooms) == 0 {
			continue
		}
		out := openSection(dst, s.name)
		const most = 5000 // rooms a call
		for rooms := range slices.Chunk(s.rooms, most) {
			resp, err := a.s.deps.Room.StrippedState(ctx, &roompb.StrippedStateRequest{RoomIds: rooms, UserId: a.r.user})
			if err != nil {
				return err
			}
			for _, room := range resp.Rooms {
				out.next(dst)
				*dst = appendStrippedRoom(*dst, s.state, room)
			}
		}
		out.close(dst)
	}
	return nil
}

func appendStrippedRoom(dst []byte, name string, room *roompb.StrippedRoom) []byte {
	dst = canonicaljson.AppendString(dst, room.RoomId)
	dst = append(dst, `:{"`...)
	dst = append(dst, name...)
	dst = append(dst, `":{"events":[`...)
	for i, e := range room.Events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, e...)
	}
	return append(dst, `]}}`...)
}
