package room

import (
	"context"
	"net/http"

	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/httpx"
)

// roomSummary is a RoomSummary of the specification.
type roomSummary struct {
	publicRoom
	AllowedRoomIDs []string `json:"allowed_room_ids,omitempty"`
	Encryption     string   `json:"encryption,omitempty"`
	Version        string   `json:"room_version"`
}

func (p *preview) summary() roomSummary {
	return roomSummary{
		publicRoom:     newPublicRoom(p.RoomID, p.Joined, p.profile),
		AllowedRoomIDs: p.AllowedRoomIDs, Encryption: p.Encryption, Version: p.Version,
	}
}

// getRoomSummary is GET /room_summary/{roomIdOrAlias}.
func (s *Service) getRoomSummary(w http.ResponseWriter, r *http.Request) error {
	caller := httpx.CallerOf(r)
	if err := s.mayAsk(caller); err != nil {
		return err
	}
	ctx := r.Context()
	roomID, err := s.roomOrAlias(ctx, r.PathValue("roomIdOrAlias"))
	if err != nil {
		return err
	}
	found, err := s.reads.previews(ctx, []string{roomID}, caller.UserID)
	if err != nil {
		return err
	}
	p := found[roomID]
	if p == nil {
		return errHiddenRoom()
	}
	known, err := s.mayReadSummary(ctx, p, caller.UserID)
	if err != nil {
		return err
	}
	if !known {
		return errHiddenRoom()
	}
	httpx.WriteJSON(w, http.StatusOK, struct {
		roomSummary
		Membership string `json:"membership,omitempty"`
	}{p.summary(), p.Membership})
	return nil
}

// mayReadSummary is mayKnow for one room: who knocks on it has been told of it, and nothing is kept from users that people
// without an account may read.
func (s *Service) mayReadSummary(ctx context.Context, p *preview, userID string) (bool, error) {
	if event.Membership(p.Membership) == event.Knock {
		return true, nil
	}
	known, err := (&visitor{reads: s.reads, userID: userID}).mayKnow(ctx, p)
	if err != nil || known || !s.cfg.OpenDirectory {
		return known, err
	}
	stranger := *p
	stranger.Membership = ""
	return (&visitor{reads: s.reads}).mayKnow(ctx, &stranger)
}

// errHiddenRoom is the answer of a room that the caller may not know of, be it there or not.
func errHiddenRoom() error {
	return matrix.NewError(matrix.CodeNotFound, "There is no such room, or you may not know of it.")
}
