package room

import (
	"net/http"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

// maxMutual is how many rooms one answer has.
const maxMutual = 500

// mutualPlace is a token of the rooms shared with a user: behind a room.
type mutualPlace struct {
	UserID string `json:"u"`
	RoomID string `json:"r"`
}

// getMutualRooms is GET /mutual_rooms.
func (s *Service) getMutualRooms(w http.ResponseWriter, r *http.Request) error {
	ctx, caller := r.Context(), httpx.CallerOf(r)
	q := httpx.ReadQuery(r.URL)
	other, from := q.Required("user_id"), q.String("from")
	if from == "" {
		from = q.String("batch_token") // as MSC2666 calls it, which matrix-js-sdk still asks
	}
	if err := q.Err(); err != nil {
		return err
	}
	if _, err := matrix.ParseUserID(other); err != nil {
		return err
	}
	if other == caller.UserID {
		return matrix.NewError(matrix.CodeInvalidParam, "user_id must be another user than yourself.")
	}
	var after mutualPlace
	if from != "" {
		if err := readOpaque("from", from, &after); err != nil {
			return err
		}
		if after.UserID != other || after.RoomID == "" || !isText(after.RoomID) {
			return errToken("from")
		}
	}
	rooms, count, err := s.reads.store.MutualRooms(ctx, caller.UserID, other, after.RoomID, maxMutual+1)
	if err != nil {
		return err
	}
	answer := struct {
		Joined []string `json:"joined"`
		Count  int64    `json:"count"`
		Next   string   `json:"next_batch,omitempty"`
		Token  string   `json:"next_batch_token,omitempty"`
	}{Joined: rooms, Count: count}
	if len(rooms) > maxMutual {
		answer.Joined = rooms[:maxMutual]
		answer.Next = opaque(mutualPlace{other, rooms[maxMutual-1]})
		answer.Token = answer.Next
	}
	if answer.Joined == nil {
		answer.Joined = []string{}
	}
	httpx.WriteJSON(w, http.StatusOK, answer)
	return nil
}
