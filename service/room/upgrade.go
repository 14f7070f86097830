package room

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
	"hongyan/service/room/internal/store"
)

// upgradeBody is the body of POST /rooms/{roomId}/upgrade.
type upgradeBody struct {
	NewVersion         *string         `json:"new_version"`
	AdditionalCreators json.RawMessage `json:"additional_creators"`
}

// upgrade is POST /rooms/{roomId}/upgrade. A room is one log, so this is two appends: first the new room as a whole, which
// nobody knows of yet, then in the old one everything that leads to it. When it ends between them, nothing has happened
// to the old room, and a repetition with the same idempotency key goes on with the same new room.
func (s *Service) upgrade(rw http.ResponseWriter, r *http.Request) error {
	q, err := readRequest(r)
	if err != nil {
		return err
	}
	if err := q.active(); err != nil {
		return err
	}
	if q.Guest {
		return matrix.NewError(matrix.CodeGuestAccessForbidden, "Guests cannot upgrade rooms.")
	}
	body, bodyErr := readBody[upgradeBody](r)
	if bodyErr == nil {
		bodyErr = body.check()
	}
	old, err := s.inspect(r.Context(), q.room, func(w *working) error {
		if err := w.mustSend(q.user, event.TypeTombstone, true); err != nil {
			return err
		}
		return bodyErr
	})
	if err != nil {
		return s.answerAgain(rw, q, err)
	}
	replacement, err := s.replace(r.Context(), q, old, body)
	if err != nil {
		return s.answerAgain(rw, q, err)
	}
	return s.answer(rw, q, q.once(), func(ctx context.Context, w *working) ([]byte, error) {
		if w.state.EventID(event.TypeTombstone, "") != old.state.EventID(event.TypeTombstone, "") {
			// Another upgrade was faster, and everything leads to its new room.
			return nil, matrix.NewError(matrix.CodeForbidden, "The room has been replaced a moment ago.")
		}
		if err := w.retire(ctx, q, replacement); err != nil {
			return nil, err
		}
		return mustCanonical(map[string]string{"replacement_room": string(replacement)}), nil
	})
}

func (b upgradeBody) check() error {
	if b.NewVersion == nil {
		return matrix.NewError(matrix.CodeMissingParam, "\"new_version\" is missing.")
	}
	_, err := event.ParseVersion(*b.NewVersion)
	return err
}

// replace makes the new room, once for the request's idempotency key, and returns its id.
func (s *Service) replace(ctx context.Context, q request, old *snapshot, body upgradeBody) (matrix.RoomID, error) {
	if !s.gate.enter() {
		return "", matrix.Unavailable(errStopping)
	}
	defer s.gate.leave()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CommitTimeout)
	defer cancel()
	plan, err := s.planUpgrade(ctx, q, old, body)
	if err != nil {
		return "", err
	}
	txn := q.once()
	if txn.ID != "" {
		txn.ID += "/replacement" // the key itself is for the upgrade as a whole
	}
	response, err := s.writeRoom(ctx, txn, plan)
	if err != nil {
		return "", err
	}
	made, err := parseObject(response)
	return matrix.RoomID(made.str("room_id")), err
}

// retire closes a room in favour of another one: its tombstone, its aliases, its place in the directory, and, as far as
// the sender may change them, its canonical alias and its power levels.
func (w *working) retire(ctx context.Context, q request, replacement matrix.RoomID) error {
	if err := w.mustSend(q.user, event.TypeTombstone, true); err != nil {
		return err
	}
	tombstone := draft{
		sender: q.user, typ: event.TypeTombstone, key: new(string), device: q.DeviceID,
		content: mustCanonical(map[string]string{"body": "This room has been replaced.", "replacement_room": string(replacement)}),
	}
	if _, err := w.addState(ctx, tombstone); err != nil {
		return err
	}
	if err := w.moveAliases(ctx, replacement); err != nil {
		return err
	}
	w.statements = append(w.statements, store.MoveVisibility(w.base.stream.ID, string(replacement))...)
	if err := w.ifAllowed(ctx, q, event.TypeCanonicalAlias, w.noCanonicalAlias); err != nil {
		return err
	}
	return w.ifAllowed(ctx, q, event.TypePowerLevels, w.quietLevels)
}

// moveAliases makes all of the room's aliases lead to another room.
func (w *working) moveAliases(ctx context.Context, to matrix.RoomID) error {
	names, err := w.s.store.Aliases(ctx, w.base.stream.ID)
	if err != nil {
		return matrix.Unavailable(err)
	}
	for _, a := range w.aliases {
		names = append(names, a.Alias)
	}
	for _, name := range names {
		a, ok, err := w.alias(ctx, name)
		if err != nil {
			return err
		}
		if ok && a.RoomID == string(w.roomID) {
			w.aliases = append(w.aliases, store.Alias{Alias: name, RoomID: string(to), Creator: a.Creator})
		}
	}
	w.statements = append(w.statements, store.MoveAliases(w.base.stream.ID, string(to)))
	return nil
}

// ifAllowed adds a state event whose content follows from the present one, unless the sender may not. nil changes nothing.
func (w *working) ifAllowed(ctx context.Context, q request, typ string, change func() (object, error)) error {
	o, err := change()
	if err != nil || o == nil {
		return err
	}
	content, err := o.canonical()
	if err != nil {
		return err
	}
	_, err = w.add(ctx, draft{sender: q.user, typ: typ, key: new(string), content: content, device: q.DeviceID})
	var refused *matrix.Error
	if errors.As(err, &refused) && refused.Status < http.StatusInternalServerError {
		return nil
	}
	return err
}

// noCanonicalAlias is an m.room.canonical_alias without aliases, where the room has one with some.
func (w *working) noCanonicalAlias() (object, error) {
	ev := w.state.Event(event.TypeCanonicalAlias)
	if ev == nil {
		return nil, nil
	}
	if named := namedAliases(ev); named.alias == "" && len(named.alt) == 0 {
		return nil, nil
	}
	return object{}, nil
}

// quietLevels are power levels that let only moderators send messages and invite ("Room upgrades", step 6).
func (w *working) quietLevels() (object, error) {
	levels := w.auth.levels
	least := min(max(50, levels.UsersDefault+1), canonicaljson.MaxInt)
	if levels.EventsDefault >= least && levels.Invite >= least {
		return nil, nil
	}
	o, err := w.base.levelContent(w.state.Event(event.TypePowerLevels))
	if err != nil {
		return nil, err
	}
	o.set("events_default", max(levels.EventsDefault, least))
	o.set("invite", max(levels.Invite, least))
	return o, nil
}

// levelContent is the content of power levels; where the room has none, one that says what goes without saying.
func (s *snapshot) levelContent(ev *event.Event) (object, error) {
	if ev != nil {
		return parseObject(ev.Content())
	}
	o := object{}
	if !s.rules.InfiniteCreators {
		o.set("users", map[matrix.UserID]int{s.auth.create.Creator: 100})
	}
	return o, nil
}
