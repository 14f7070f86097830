package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"hongyan/platform/sqldb"
)

const memberType = "m.room.member"

// Key names a piece of a room's state. With Any it names all state keys of the type.
type Key struct {
	Type, StateKey string
	Any            bool
}

// Selection says which keys of the state are wanted. Its zero value means all.
type Selection struct {
	// Keys, where given, limits the answer to these.
	Keys []Key
	// Lazy asks for all but members, and of members for those in Keys.
	Lazy bool
}

// Has reports whether a key is wanted.
func (s Selection) Has(eventType, stateKey string) bool {
	if s.Lazy && eventType != memberType || !s.Lazy && len(s.Keys) == 0 {
		return true
	}
	return slices.ContainsFunc(s.Keys, func(k Key) bool {
		return k.Type == eventType && (k.Any || k.StateKey == stateKey)
	})
}

// split divides the named keys into whole types and pairs of type and state key.
func (s Selection) split() (types []string, pairs [][2]string) {
	for _, k := range s.Keys {
		switch {
		case s.Lazy && k.Type != memberType:
		case k.Any:
			types = append(types, k.Type)
		default:
			pairs = append(pairs, [2]string{k.Type, k.StateKey})
		}
	}
	return types, pairs
}

// stateAtSQL is the state at seq $2 of room $1, of the keys in the rows c of state_current that %s selects. A key whose newest
// delta is at or before $2 is looked up no further.
const stateAtSQL = `
SELECT ` + eventColumns + `
FROM (
    SELECT CASE WHEN c.seq <= $2 THEN c.event_id ELSE (
               SELECT d.event_id FROM state_delta d
               WHERE d.room = c.room AND d.type = c.type AND d.state_key = c.state_key AND d.seq <= $2
               ORDER BY d.seq DESC LIMIT 1) END AS event_id
    FROM state_current c %s
) s
JOIN event v ON v.event_id = s.event_id
LEFT JOIN room_entry e ON e.stream = v.room AND e.seq = v.seq`

var (
	stateAllSQL   = fmt.Sprintf(stateAtSQL, `WHERE c.room = $1`)
	stateBelowSQL = fmt.Sprintf(stateAtSQL, `WHERE c.room = $1 AND c.type < $3`)
	stateAboveSQL = fmt.Sprintf(stateAtSQL, `WHERE c.room = $1 AND c.type > $3`)
	stateTypesSQL = fmt.Sprintf(stateAtSQL, `WHERE c.room = $1
        AND c.type = ANY($3)                            -- postgres
        AND c.type IN (SELECT value FROM json_each($3)) -- sqlite
    `)
	statePairsSQL = fmt.Sprintf(stateAtSQL, `
        JOIN (SELECT p->>0 AS type, p->>1 AS state_key FROM json_array_elements($3::json) p)                                 -- postgres
        JOIN (SELECT DISTINCT json_extract(value, '$[0]') AS type, json_extract(value, '$[1]') AS state_key FROM json_each($3)) -- sqlite
        w ON c.type = w.type AND c.state_key = w.state_key
    WHERE c.room = $1`)
)

// State reads the selected state of a room as of a sequence number, inclusive, oldest first.
func (r *Reader) State(ctx context.Context, room, at int64, sel Selection) ([]Event, error) {
	var all []Event
	add := func(sql string, args ...any) error {
		rows, err := r.db.Query(ctx, sql, append([]any{room, at}, args...)...)
		events, err := collect(rows, err, "read state", scanEvent)
		all = append(all, events...)
		return err
	}
	var err error
	switch {
	case sel.Lazy:
		if err = add(stateBelowSQL, memberType); err == nil {
			err = add(stateAboveSQL, memberType)
		}
	case len(sel.Keys) == 0:
		err = add(stateAllSQL)
	}
	types, pairs := sel.split()
	if err == nil && len(types) > 0 {
		err = add(stateTypesSQL, types)
	}
	if err == nil && len(pairs) > 0 {
		var arg string
		if arg, err = jsonText(pairs); err == nil {
			err = add(statePairsSQL, arg)
		}
	}
	if err != nil {
		return nil, err
	}
	return inOrder(all), nil
}

// inOrder sorts by the room's order and drops what was selected twice.
func inOrder(events []Event) []Event {
	slices.SortFunc(events, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.ID, b.ID))
	})
	return slices.CompactFunc(events, func(a, b Event) bool { return a.ID == b.ID })
}

// StateChanges reads the state events of the selected keys that changed in (after, through], as of through,
// oldest first. It costs what changed in the range.
func (r *Reader) StateChanges(ctx context.Context, room, after, through int64, sel Selection) ([]Event, error) {
	keys, err := r.changedKeys(ctx, room, after, through)
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(keys))
	for _, k := range keys {
		if k.eventID != nil && sel.Has(k.eventType, k.stateKey) {
			ids = append(ids, *k.eventID)
		}
	}
	return r.Events(ctx, room, ids)
}

// changedKey is a key of the state whose newest delta in a range is seq.
type changedKey struct {
	eventType, stateKey string
	seq                 int64
	eventID             *string
}

func (r *Reader) changedKeys(ctx context.Context, room, after, through int64) ([]changedKey, error) {
	rows, err := r.db.Query(ctx, `
SELECT type, state_key, seq, event_id FROM state_delta
WHERE room = $1 AND seq > $2 AND seq <= $3 ORDER BY seq DESC`, room, after, through)
	all, err := collect(rows, err, "read changed state", func(rows sqldb.Rows, k *changedKey) error {
		return rows.Scan(&k.eventType, &k.stateKey, &k.seq, &k.eventID)
	})
	type key struct{ eventType, stateKey string }
	seen := make(map[key]struct{}, len(all))
	newest := all[:0]
	for _, k := range all {
		id := key{k.eventType, k.stateKey}
		if _, ok := seen[id]; !ok {
			seen[id] = struct{}{}
			newest = append(newest, k)
		}
	}
	return newest, err
}

// StateOfType reads current state events of one type that have at most so many bytes, those with the least state keys.
func (r *Reader) StateOfType(ctx context.Context, room int64, eventType string, bytes, limit int) ([]StateRow, error) {
	rows, err := r.db.Query(ctx, `
SELECT c.type, c.state_key, c.event_id, c.seq, v.json FROM state_current c JOIN event v ON v.event_id = c.event_id
WHERE c.room = $1 AND c.type = $2 AND length(v.json) <= $3 ORDER BY c.state_key LIMIT $4`, room, eventType, bytes, limit)
	return collect(rows, err, "read state of a type", func(rows sqldb.Rows, s *StateRow) error {
		return rows.Scan(&s.Type, &s.Key, &s.EventID, &s.Seq, &s.JSON)
	})
}

// strippedTypes are the state that an invited user is shown, besides their own member event.
var strippedTypes = []string{
	"m.room.create", "m.room.join_rules", "m.room.name", "m.room.avatar", "m.room.topic",
	"m.room.canonical_alias", "m.room.encryption",
}

// Stripped is a state event of a room that a user without access may know of.
type Stripped struct {
	RoomID, Version, EventID string
	PDU                      []byte
}

// StrippedState reads, for each of the rooms, the current state that a user who is invited or knocks may know of, in one query.
func (r *Reader) StrippedState(ctx context.Context, roomIDs []string, userID string) ([]Stripped, error) {
	rows, err := r.db.Query(ctx, `
SELECT s.name, r.version, v.event_id, v.json
FROM room_stream s JOIN room r ON r.room = s.stream
JOIN state_current c ON c.room = s.stream
    AND (c.state_key = ''
    AND c.type = ANY($2)                                -- postgres
    AND c.type IN (SELECT value FROM json_each($2))     -- sqlite
    OR c.type = 'm.room.member' AND c.state_key = $3)
JOIN event v ON v.event_id = c.event_id
WHERE s.name = ANY($1)                            -- postgres
WHERE s.name IN (SELECT value FROM json_each($1)) -- sqlite
ORDER BY s.stream, c.seq`, roomIDs, strippedTypes, userID)
	return collect(rows, err, "read stripped state", func(rows sqldb.Rows, s *Stripped) error {
		return rows.Scan(&s.RoomID, &s.Version, &s.EventID, &s.PDU)
	})
}
