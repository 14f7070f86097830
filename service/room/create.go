package room

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"hongyan/matrix"
	"hongyan/matrix/auth"
	"hongyan/matrix/event"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/service/room/internal/store"
)

// createRoom is POST /createRoom. The room with all its events is one append: it is there as a whole or not at all.
func (s *Service) createRoom(rw http.ResponseWriter, r *http.Request) error {
	q, err := readRequest(r)
	if err != nil {
		return err
	}
	if err := q.active(); err != nil {
		return err
	}
	if q.Guest {
		return matrix.NewError(matrix.CodeGuestAccessForbidden, "Guests cannot create rooms.")
	}
	body, err := readBody[createBody](r)
	if err != nil {
		return err
	}
	plan, err := s.planRoom(q, body)
	if err != nil {
		return err
	}
	var unknown []addressed
	if len(body.Invite3PID) > 0 {
		asked, cancel := context.WithTimeout(r.Context(), askTimeout)
		defer cancel()
		if unknown, err = s.addressees(asked, &body); err != nil {
			return s.answerAgain(rw, q, err)
		}
		if plan, err = s.planRoom(q, body); err != nil { // with those who were found
			return err
		}
	}
	if !s.gate.enter() {
		return matrix.Unavailable(errStopping)
	}
	defer s.gate.leave()
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.CommitTimeout)
	defer cancel()
	response, err := s.writeRoom(ctx, q.once(), plan)
	if err != nil {
		return err
	}
	if len(unknown) > 0 {
		made, err := parseObject(response)
		if err != nil {
			return err
		}
		asked, cancel := context.WithTimeout(r.Context(), askTimeout)
		defer cancel()
		s.inviteAddresses(asked, q, made.str("room_id"), unknown)
	}
	httpx.WriteRawJSON(rw, http.StatusOK, response)
	return nil
}

// writeRoom writes the room that a plan describes, once for the transaction id if there is one.
func (s *Service) writeRoom(ctx context.Context, txn eventlog.Txn, plan *roomPlan) ([]byte, error) {
	if txn.ID != "" { // asked first, so that a repetition leaves nothing behind
		response, ok, err := s.log.Txn(ctx, txn.Scope, txn.ID)
		if err != nil {
			return nil, matrix.Unavailable(err)
		}
		if ok {
			return response, nil
		}
	}
	if err := plan.readPeople(ctx, s); err != nil {
		return nil, err
	}
	for attempt := 0; ; attempt++ {
		response, err := s.tryRoom(ctx, plan, txn, int64(attempt))
		if err != nil && txn.ID != "" {
			// The same request may have made the room meanwhile, through another instance.
			if first, ok, txnErr := s.log.Txn(ctx, txn.Scope, txn.ID); ok && txnErr == nil {
				return first, nil
			}
		}
		if !errors.Is(err, eventlog.ErrConflict) {
			return response, err
		}
		if !pause(ctx, attempt+1) {
			return nil, matrix.Unavailable(fmt.Errorf("create room: %w", ctx.Err()))
		}
	}
}

// tryRoom writes the room. Its id is taken when the same user creates an equal room in the same millisecond: then it is
// ErrConflict, and a later time gives another id.
func (s *Service) tryRoom(ctx context.Context, plan *roomPlan, txn eventlog.Txn, later int64) ([]byte, error) {
	w, err := s.newRoom(ctx, plan, later)
	if err != nil {
		return nil, err
	}
	if err := plan.apply(ctx, w); err != nil {
		return nil, err
	}
	stream, err := s.log.Stream(ctx, string(w.roomID))
	if err != nil {
		return nil, matrix.Unavailable(err)
	}
	if stream.Seq != 0 {
		return nil, eventlog.ErrConflict
	}
	w.base.stream = stream
	response := roomAnswer(w.roomID)
	if txn.ID != "" {
		txn.Response = response
		w.txns = append(w.txns, txn)
	}
	a, err := w.append(ctx)
	if err != nil {
		return nil, err
	}
	_, err = s.log.Append(ctx, a)
	var dup *eventlog.DuplicateTxnError
	switch {
	case err == nil:
		s.rooms.set(s.rooms.get(string(w.roomID)), w.snapshot())
		s.settleProfile(ctx, string(w.roomID), plan.creator, plan.profiles[plan.creator])
		return response, nil
	case errors.As(err, &dup):
		return dup.Response, nil
	case errors.Is(err, eventlog.ErrExists): // the alias or the id: the next attempt finds out
		return nil, fmt.Errorf("%w: %w", eventlog.ErrConflict, err)
	case errors.Is(err, eventlog.ErrConflict):
		return nil, err
	}
	return nil, matrix.Unavailable(err)
}

// newRoom returns the working copy of a room that has its create event and nothing else.
func (s *Service) newRoom(ctx context.Context, plan *roomPlan, later int64) (*working, error) {
	w := newWorking(s, &snapshot{rules: plan.rules})
	w.now += later
	w.published = plan.visibility == public
	if !plan.rules.RoomIDFromCreate {
		id, err := randomRoomID(s.deps.Rand, s.server)
		if err != nil {
			return nil, matrix.Internal(err)
		}
		w.roomID = id
	}
	ev, err := w.build(ctx, draft{
		sender: plan.creator, typ: event.TypeCreate, key: new(string), content: plan.creation, device: plan.device,
	})
	if err != nil {
		return nil, err
	}
	if err := auth.Allowed(ev, stateForRules{w}); err != nil {
		return nil, err
	}
	w.roomID = ev.RoomID()
	if err := w.apply(ev, w.meta(draft{device: plan.device})); err != nil {
		return nil, err
	}
	w.rows = append(w.rows, func(room int64) eventlog.Row {
		return store.RoomRow(room, string(w.roomID), string(plan.rules.Version), string(plan.creator), w.now, plan.visibility)
	})
	if plan.alias != "" {
		w.aliases = []store.Alias{{Alias: plan.alias, RoomID: string(w.roomID), Creator: string(plan.creator)}}
		w.rows = append(w.rows, func(room int64) eventlog.Row {
			return store.AliasRow(plan.alias, room, string(plan.creator), w.now)
		})
	}
	return w, nil
}

const idLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// randomRoomID makes an id for a room whose version does not make it from the create event.
func randomRoomID(random io.Reader, server matrix.ServerName) (matrix.RoomID, error) {
	id, err := randomID(random, '!', server)
	return matrix.RoomID(id), err
}

func randomID(random io.Reader, sigil byte, server matrix.ServerName) (string, error) {
	var b [18]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	for i := range b {
		b[i] = idLetters[int(b[i])%len(idLetters)]
	}
	return string(sigil) + string(b[:]) + ":" + string(server), nil
}

func errRoomInUse(alias string) *matrix.Error {
	return matrix.Errorf(matrix.CodeRoomInUse, "The room alias %s exists already.", alias)
}
