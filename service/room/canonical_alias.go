package room

import (
	"context"
	"encoding/json"
	"slices"

	"hongyan/matrix"
	"hongyan/matrix/event"
)

// canonicalAliases are the aliases that an m.room.canonical_alias names.
type canonicalAliases struct {
	alias string
	alt   []string
}

// parseCanonicalAliases reads the content; M_INVALID_PARAM where it has another shape.
func parseCanonicalAliases(content []byte) (canonicalAliases, error) {
	var c canonicalAliases
	o, err := parseObject(content)
	if err != nil {
		return c, err
	}
	if raw, ok := o["alias"]; ok && string(raw) != "null" {
		if json.Unmarshal(raw, &c.alias) != nil {
			return c, matrix.NewError(matrix.CodeInvalidParam, "\"alias\" must be a room alias.")
		}
	}
	if raw, ok := o["alt_aliases"]; ok && string(raw) != "null" {
		if json.Unmarshal(raw, &c.alt) != nil {
			return c, matrix.NewError(matrix.CodeInvalidParam, "\"alt_aliases\" must be a list of room aliases.")
		}
	}
	return c, nil
}

// namedAliases reads a stored m.room.canonical_alias. One that was never checked, being of another server, may have
// another shape: then it names none.
func namedAliases(ev *event.Event) canonicalAliases {
	c, err := parseCanonicalAliases(ev.Content())
	if err != nil {
		return canonicalAliases{}
	}
	return c
}

func (c canonicalAliases) names(alias string) bool {
	return alias != "" && (alias == c.alias || slices.Contains(c.alt, alias))
}

// checkCanonicalAlias refuses newly named aliases that are malformed or do not lead to this room. What the room
// names already, and what is taken away, is not looked at.
func (w *working) checkCanonicalAlias(ctx context.Context, content []byte) error {
	next, err := parseCanonicalAliases(content)
	if err != nil {
		return err
	}
	var now canonicalAliases
	if ev := w.state.Event(event.TypeCanonicalAlias); ev != nil {
		now = namedAliases(ev)
	}
	named := next.alt
	if next.alias != "" { // an empty one takes the alias away
		named = append([]string{next.alias}, next.alt...)
	}
	for _, alias := range named {
		if now.names(alias) {
			continue
		}
		if err := w.checkAlias(ctx, alias); err != nil {
			return err
		}
	}
	return nil
}

// checkAlias refuses an alias that does not lead to this room.
func (w *working) checkAlias(ctx context.Context, alias string) error {
	if _, err := matrix.ParseRoomAlias(alias); err != nil {
		return err
	}
	found, ok, err := w.alias(ctx, alias)
	if err != nil {
		return err
	}
	if !ok || found.RoomID != string(w.roomID) {
		return matrix.Errorf(matrix.CodeBadAlias, "The alias %s does not lead to this room.", shorten(alias))
	}
	return nil
}

// dropAlias takes an alias out of the room's m.room.canonical_alias, if it is there and the user may write that.
func (w *working) dropAlias(ctx context.Context, user matrix.UserID, alias string) error {
	ev := w.state.Event(event.TypeCanonicalAlias)
	if ev == nil || !w.maySend(user, event.TypeCanonicalAlias) {
		return nil
	}
	now := namedAliases(ev)
	if !now.names(alias) {
		return nil
	}
	o, err := parseObject(ev.Content())
	if err != nil {
		return err
	}
	if now.alias == alias {
		delete(o, "alias")
	}
	if alt := slices.DeleteFunc(now.alt, func(a string) bool { return a == alias }); len(alt) > 0 {
		o.set("alt_aliases", alt)
	} else {
		delete(o, "alt_aliases")
	}
	content, err := o.canonical()
	if err != nil {
		return err
	}
	_, err = w.add(ctx, draft{sender: user, typ: event.TypeCanonicalAlias, key: new(string), content: content})
	return err
}
