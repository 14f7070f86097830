package room

import (
	"context"
	"errors"
	"net/http"
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
		return a, matrix.Errorf(matrix.CodeNotFound, "There is no room alias %s.", name)
	}
	return a, nil
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
	snap, err := s.inspect(r.Context(), body.RoomID, func(w *working) error { return w.mustBeJoined(q.user) })
	if err != nil {
		return err
	}
	err = s.store.AddAlias(r.Context(), name, snap.stream.ID, q.UserID, s.now())
	if errors.Is(err, store.ErrAliasTaken) {
		return matrix.Errorf(matrix.CodeUnknown, "The room alias %s exists already.", name).WithStatus(http.StatusConflict)
	} else if err != nil {
		return matrix.Unavailable(err)
	}
	httpx.WriteRawJSON(rw, http.StatusOK, noAnswer())
	return nil
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
	alias, err := s.resolve(r.Context(), r.PathValue("roomAlias"))
	if err != nil {
		return err
	}
	_, err = s.inspect(r.Context(), alias.RoomID, func(w *working) error {
		if alias.Creator == q.UserID || q.Admin {
			return nil
		}
		return w.mustSend(q.user, event.TypeCanonicalAlias, true)
	})
	if err != nil {
		return err
	}
	ok, err := s.store.DeleteAlias(r.Context(), alias.Alias, alias.Room)
	if err != nil {
		return matrix.Unavailable(err)
	}
	if !ok {
		return matrix.Errorf(matrix.CodeNotFound, "There is no room alias %s.", alias.Alias)
	}
	_, err = s.operate(r.Context(), alias.RoomID, eventlog.Txn{}, asOp(func(ctx context.Context, w *working) error {
		return w.dropAlias(ctx, q.user, alias.Alias)
	}))
	if err != nil {
		return err
	}
	httpx.WriteRawJSON(rw, http.StatusOK, noAnswer())
	return nil
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
