package room

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/httpx"
)

// join is POST /rooms/{roomId}/join.
func (s *Service) join(rw http.ResponseWriter, r *http.Request) error {
	q, err := readRequest(r)
	if err != nil {
		return err
	}
	return s.joinRoom(rw, q)
}

// joinByAlias is POST /join/{roomIdOrAlias}.
func (s *Service) joinByAlias(rw http.ResponseWriter, r *http.Request) error {
	q, err := readRequest(r)
	if err != nil {
		return err
	}
	if q.room, err = s.roomOrAlias(r.Context(), r.PathValue("roomIdOrAlias")); err != nil {
		return s.answerAgain(rw, q, err)
	}
	return s.joinRoom(rw, q)
}

// roomOrAlias returns the id of a room that is named by its id or an alias.
func (s *Service) roomOrAlias(ctx context.Context, name string) (string, error) {
	if strings.HasPrefix(name, "#") {
		alias, err := s.resolve(ctx, name)
		return alias.RoomID, err
	}
	if _, err := matrix.ParseRoomID(name); err != nil {
		return "", matrix.NewError(matrix.CodeInvalidParam, "The path must name a room id or a room alias.").WithCause(err)
	}
	return name, nil
}

// joinRoom makes the caller a member. What else the body says enters the member event.
func (s *Service) joinRoom(rw http.ResponseWriter, q request) error {
	if err := q.active(); err != nil {
		return err
	}
	c := memberChange{sender: q.user, target: q.user, to: event.Join, device: q.DeviceID, guest: q.Guest}
	var bodyErr error
	var signed json.RawMessage
	c.content, signed, bodyErr = readExtra(q.http)
	found, err := s.profiles(q.http.Context(), q.user)
	if err != nil {
		return err
	}
	c.profile = found[q.user]
	join := func(ctx context.Context, w *working) ([]byte, error) {
		c := c // what the check finds is this run's
		if err := w.checkChange(ctx, &c, w.state.Membership(q.UserID)); err != nil {
			return nil, err
		}
		if bodyErr != nil {
			return nil, bodyErr
		}
		if _, err := w.setMember(ctx, c); err != nil {
			return nil, err
		}
		return roomAnswer(w.roomID), nil
	}
	response, err := s.operate(q.http.Context(), q.room, q.once(), join)
	if signed != nil && bodyErr == nil && matrix.IsFinal(err) {
		// An invite by address is of use only to who may not join without.
		if err = s.exchangeOr(q.http.Context(), q, signed, err); err == nil {
			response, err = s.operate(q.http.Context(), q.room, q.once(), join)
		}
	}
	if err != nil {
		return err
	}
	s.settleProfile(q.http.Context(), q.room, q.user, c.profile)
	httpx.WriteRawJSON(rw, http.StatusOK, response)
	return nil
}

// exchangeOr is exchange for who was refused; a proof that is none leaves it at that.
func (s *Service) exchangeOr(ctx context.Context, q request, signed json.RawMessage, refusal error) error {
	err := s.exchange(ctx, q.room, q.user, signed)
	var e *matrix.Error
	if errors.As(err, &e) && e.Status == http.StatusBadRequest {
		return refusal
	}
	return err
}

// readExtra reads a body whose keys enter a member event, and third_party_signed, which shows whom an invite by address is for.
func readExtra(r *http.Request) (o object, signed json.RawMessage, err error) {
	content, err := readContent(r)
	if err != nil {
		return nil, nil, err
	}
	if o, err = parseObject(content); err != nil {
		return nil, nil, err
	}
	if signed = o["third_party_signed"]; string(signed) == "null" || string(signed) == "{}" {
		signed = nil
	}
	delete(o, "membership")
	for _, k := range keysOfServer {
		delete(o, k)
	}
	return o, signed, o.checkMemberShape()
}

// leave is POST /rooms/{roomId}/leave: it leaves, rejects an invite, or withdraws a knock.
func (s *Service) leave(rw http.ResponseWriter, r *http.Request) error {
	q, err := readRequest(r)
	if err != nil {
		return err
	}
	body, bodyErr := readBody[membershipBody](r)
	c := memberChange{sender: q.user, target: q.user, to: event.Leave, content: body.extra(), device: q.DeviceID}
	return s.answer(rw, q, q.once(), asOp(func(ctx context.Context, w *working) error {
		if w.state.Member(q.UserID) == nil {
			return errUnknownRoom()
		}
		if bodyErr != nil {
			return bodyErr
		}
		_, err := w.setMember(ctx, c)
		return err
	}))
}

// forget is POST /rooms/{roomId}/forget.
func (s *Service) forget(rw http.ResponseWriter, r *http.Request) error {
	q, err := readRequest(r)
	if err != nil {
		return err
	}
	return s.answer(rw, q, q.once(), asOp(func(ctx context.Context, w *working) error {
		switch event.Membership(w.state.Membership(q.UserID)) {
		case event.Leave, event.Ban:
		case "":
			return errUnknownRoom()
		default:
			return matrix.NewError(matrix.CodeUnknown, "Leave the room, or reject the invite, before forgetting it.")
		}
		// This happens outside of the working copy: it is repeatable, and checks the membership once more.
		if err := s.store.Forget(ctx, q.UserID, w.base.stream.ID); err != nil {
			return matrix.Unavailable(err)
		}
		return nil
	}))
}

// membershipBody is the body of kick, ban, unban, invite and leave.
type membershipBody struct {
	UserID string  `json:"user_id"`
	Reason *string `json:"reason"`
	// addressBody is that of an invite of somebody who is known only by an address elsewhere.
	addressBody
}

func (b membershipBody) extra() object {
	o := object{}
	if b.Reason != nil {
		o.set("reason", *b.Reason)
	}
	return o
}

// target is whom the body concerns.
func (b membershipBody) target() (matrix.UserID, error) {
	if b.UserID == "" {
		return "", matrix.NewError(matrix.CodeMissingParam, "\"user_id\" is missing.")
	}
	return matrix.ParseUserID(b.UserID)
}
