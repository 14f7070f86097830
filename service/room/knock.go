package room

import (
	"context"
	"errors"
	"net/http"

	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/httpx"
)

// knock is POST /knock/{roomIdOrAlias}: it asks to be invited.
func (s *Service) knock(rw http.ResponseWriter, r *http.Request) error {
	q, err := readRequest(r)
	if err != nil {
		return err
	}
	if err := q.active(); err != nil {
		return err
	}
	if q.Guest {
		return matrix.NewError(matrix.CodeGuestAccessForbidden, "Guests cannot knock at rooms.")
	}
	if q.room, err = s.roomOrAlias(r.Context(), r.PathValue("roomIdOrAlias")); err != nil {
		return s.answerAgain(rw, q, err)
	}
	body, bodyErr := readBody[membershipBody](r)
	c := memberChange{sender: q.user, target: q.user, to: event.Knock, content: body.extra(), device: q.DeviceID}
	found, err := s.profiles(r.Context(), q.user)
	if err != nil {
		return err
	}
	c.profile = found[q.user]
	response, err := s.operate(r.Context(), q.room, q.once(), func(ctx context.Context, w *working) ([]byte, error) {
		if _, err := w.setMember(ctx, c); err != nil {
			return nil, err
		}
		if bodyErr != nil { // after what is forbidden
			return nil, bodyErr
		}
		return roomAnswer(w.roomID), nil
	})
	if errors.Is(err, errNoRoom) {
		return matrix.NewError(matrix.CodeNotFound, "There is no such room.").WithCause(err)
	}
	if err != nil {
		return err
	}
	s.settleProfile(r.Context(), q.room, q.user, c.profile)
	httpx.WriteRawJSON(rw, http.StatusOK, response)
	return nil
}
