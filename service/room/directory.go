package room

import (
	"net/http"

	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/httpx"
)

// Visibilities of a room in the directory.
const (
	public  = "public"
	private = "private"
)

// getVisibility is GET /directory/list/room/{roomId}.
func (s *Service) getVisibility(rw http.ResponseWriter, r *http.Request) error {
	roomID := r.PathValue("roomId")
	if _, err := matrix.ParseRoomID(roomID); err != nil {
		return err
	}
	visibility, ok, err := s.store.Visibility(r.Context(), roomID)
	if err != nil {
		return matrix.Unavailable(err)
	}
	if !ok {
		return errNotListed()
	}
	httpx.WriteJSON(rw, http.StatusOK, map[string]string{"visibility": visibility})
	return nil
}

// putVisibility is PUT /directory/list/room/{roomId}: for who may choose the room's canonical alias, and administrators.
func (s *Service) putVisibility(rw http.ResponseWriter, r *http.Request) error {
	q, err := readRequest(r)
	if err != nil {
		return err
	}
	if err := q.active(); err != nil {
		return err
	}
	_, ok, err := s.store.Visibility(r.Context(), q.room)
	if err != nil {
		return matrix.Unavailable(err)
	}
	if !ok {
		return errNotListed()
	}
	snap, err := s.inspect(r.Context(), q.room, func(w *working) error {
		if q.Admin {
			return nil
		}
		return w.mustSend(q.user, event.TypeCanonicalAlias, true)
	})
	if err != nil {
		return err
	}
	body, err := readBody[struct {
		Visibility *string `json:"visibility"`
	}](r)
	if err != nil {
		return err
	}
	visibility := public
	if body.Visibility != nil {
		visibility = *body.Visibility
	}
	if visibility != public && visibility != private {
		return matrix.NewError(matrix.CodeInvalidParam, "\"visibility\" must be public or private.")
	}
	if err := s.store.SetVisibility(r.Context(), snap.stream.ID, visibility); err != nil {
		return matrix.Unavailable(err)
	}
	httpx.WriteRawJSON(rw, http.StatusOK, noAnswer())
	return nil
}

// errNotListed is for the directory, which knows rooms whether or not the caller is in them.
func errNotListed() error {
	return matrix.NewError(matrix.CodeNotFound, "There is no such room on this server.")
}
