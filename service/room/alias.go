package room

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/service/room/internal/state"
	"hongyan/service/room/internal/store"
)

// resolve looks an alias up: M_INVALID_PARAM, or M_NOT_FOUND.
func (s *Service) resolve(ctx context.Context, name string) (store.Alias, error) {
	if err := checkAliasName(name); err != nil {
		return store.Alias{}, err
	}
	a, ok, err := s.store.Alias(ctx, name)
	if err != nil {
		return a, matrix.Unavailable(err)
	}
	if !ok {
		return a, errNoAlias(name)
	}
	return a, nil
}

func errNoAlias(name string) error {
	return matrix.Errorf(matrix.CodeNotFound, "There is no room alias %s.", name)
}

func checkAliasName(name string) error {
	_, err := matrix.ParseRoomAlias(name)
	return err
}

// getAlias is GET /directory/room/{roomAlias}.
func (s *Service) getAlias(rw http.ResponseWriter, r *http.Request) error {
	a, err := s.resolve(r.Context(), r.PathValue("roomAlias"))
	if err != nil {
		return err
	}
	httpx.WriteJSON(rw, http.StatusOK, map[string]any{"room_id": a.RoomID, "servers": []string{string(s.server)}})
	return nil
}

// putAlias is PUT /directory/room/{roomAlias}. Any member of a room may add one.
func (s *Service) putAlias(rw http.ResponseWriter, r *http.Request) error {
	q, err := readRequest(r)
	if err != nil {
		return err
	}
	if err := q.active(); err != nil {
		return err
	}
	name := r.PathValue("roomAlias")
	if err := s.checkOwnAlias(name); err != nil {
		return err
	}
	body, err := readBody[struct {
		RoomID string `json:"room_id"`
	}](r)
	if err != nil {
		return err
	}
	if body.RoomID == "" {
		return matrix.NewError(matrix.CodeMissingParam, "\"room_id\" is missing.")
	}
	if _, err := matrix.ParseRoomID(body.RoomID); err != nil {
		return err
	}
	q.room = body.RoomID
	return s.answer(rw, q, q.once(), asOp(func(ctx context.Context, w *working) error {
		if err := w.mustBeJoined(q.user); err != nil {
			return err
		}
		return w.addAlias(ctx, name, q.UserID)
	}))
}

// checkOwnAlias refuses malformed aliases and those of other servers.
func (s *Service) checkOwnAlias(name string) error {
	alias, err := matrix.ParseRoomAlias(name)
	if err != nil {
		return err
	}
	if alias.Server() != s.server {
		return matrix.Errorf(matrix.CodeInvalidParam, "Only aliases that end in :%s can be made here.", s.server)
	}
	if strings.IndexFunc(alias.Localpart(), isSpace) >= 0 {
		return matrix.NewError(matrix.CodeInvalidParam, "A room alias has no white space.")
	}
	return nil
}

func isSpace(r rune) bool { return r <= ' ' || r == 0x7f || r == 0xa0 }

// deleteAlias is DELETE /directory/room/{roomAlias}: for who made it, and who may choose the room's canonical alias.
func (s *Service) deleteAlias(rw http.ResponseWriter, r *http.Request) error {
	q, err := readRequest(r)
	if err != nil {
		return err
	}
	if err := q.active(); err != nil {
		return err
	}
	name := r.PathValue("roomAlias")
	found, err := s.resolve(r.Context(), name)
	if err != nil {
		return s.answerAgain(rw, q, err)
	}
	q.room = found.RoomID
	return s.answer(rw, q, q.once(), asOp(func(ctx context.Context, w *working) error {
		return w.deleteAlias(ctx, q, name)
	}))
}

// alias looks an alias up as it is after what the batch has done so far.
func (w *working) alias(ctx context.Context, name string) (store.Alias, bool, error) {
	for _, a := range slices.Backward(w.aliases) {
		if a.Alias == name {
			return a, a.RoomID != "", nil
		}
	}
	a, ok, err := w.s.store.Alias(ctx, name)
	if err != nil {
		return a, false, matrix.Unavailable(err)
	}
	return a, ok, nil
}

// addAlias makes an alias lead to the room.
func (w *working) addAlias(ctx context.Context, name, creator string) error {
	_, taken, err := w.alias(ctx, name)
	if err != nil {
		return err
	}
	if taken {
		return matrix.Errorf(matrix.CodeUnknown, "The room alias %s exists already.", name).WithStatus(http.StatusConflict)
	}
	if err := w.checkAliases(ctx); err != nil {
		return err
	}
	w.aliases = append(w.aliases, store.Alias{Alias: name, RoomID: string(w.roomID), Creator: creator})
	w.statements = append(w.statements, store.AddAlias(name, w.base.stream.ID, creator, w.now))
	return nil
}

// checkAliases refuses one more alias to a room that has as many as it may. Instances that add some at once may exceed
// that by a few.
func (w *working) checkAliases(ctx context.Context) error {
	n, err := w.s.store.CountAliases(ctx, w.base.stream.ID)
	if err != nil {
		return matrix.Unavailable(err)
	}
	for _, a := range w.aliases {
		if a.RoomID != "" {
			n++
		}
	}
	if n >= w.s.cfg.MaxAliases {
		return matrix.Errorf(matrix.CodeResourceLimitExceeded, "A room may have %d aliases.", w.s.cfg.MaxAliases)
	}
	return nil
}

// deleteAlias deletes an alias and, in the same commit, what the room's m.room.canonical_alias says of it.
func (w *working) deleteAlias(ctx context.Context, q request, name string) error {
	a, ok, err := w.alias(ctx, name)
	if err != nil {
		return err
	}
	if !ok || a.RoomID != string(w.roomID) {
		return errNoAlias(name)
	}
	if a.Creator != q.UserID && !q.Admin {
		if err := w.mustSend(q.user, event.TypeCanonicalAlias, true); err != nil {
			return err
		}
	}
	w.aliases = append(w.aliases, store.Alias{Alias: name})
	w.statements = append(w.statements, store.DeleteAlias(name, w.base.stream.ID))
	return w.dropAlias(ctx, q.user, name)
}

// getAliases is GET /rooms/{roomId}/aliases: for members, and for everybody where the history is world-readable.
func (s *Service) getAliases(rw http.ResponseWriter, r *http.Request) error {
	q, err := readRequest(r)
	if err != nil {
		return err
	}
	snap, err := s.inspect(r.Context(), q.room, func(w *working) error {
		visibility := w.contentString(event.TypeHistoryVisibility, "history_visibility")
		if visibility == string(event.VisibilityWorldReadable) || w.state.Membership(q.UserID) == state.Join {
			return nil
		}
		return errUnknownRoom()
	})
	if err != nil {
		return err
	}
	aliases, err := s.store.Aliases(r.Context(), snap.stream.ID)
	if err != nil {
		return matrix.Unavailable(err)
	}
	httpx.WriteJSON(rw, http.StatusOK, map[string]any{"aliases": aliases})
	return nil
}

// inspect runs a check on the newest state of a room and returns that state.
func (s *Service) inspect(ctx context.Context, roomID string, check func(w *working) error) (*snapshot, error) {
	var seen *snapshot
	_, err := s.operate(ctx, roomID, eventlog.Txn{}, asOp(func(_ context.Context, w *working) error {
		seen = w.base
		return check(w)
	}))
	if err != nil {
		return nil, err
	}
	return seen, nil
}
