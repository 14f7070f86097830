package store

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// LogName names the room log: on the bus, and before the names of its tables.
const LogName = "room"

// The side tables that appends write to: indices into Schema's Tables.
const (
	tableEvent = iota
	tableRoom
	tableStateDelta
	tableStateCurrent
	tableExtremity
	tableMembership
	tableAlias
	tableRelation
	tableProfile
	tableListing
	tableThread
)

// Schema declares the room log with as many shards where it does not exist yet.
func Schema(shards int) eventlog.Schema {
	col := func(name string, t eventlog.ColumnType) eventlog.Column { return eventlog.Column{Name: name, Type: t} }
	const i, t, b = eventlog.Int, eventlog.Text, eventlog.Bytes
	return eventlog.Schema{
		Name: LogName, Shards: shards,
		Doc: &eventlog.DocTable{Table: "event", Ref: "event_id", Column: "json"},
		Tables: []eventlog.Table{
			tableEvent: {Name: "event", Key: []string{"event_id"}, Columns: []eventlog.Column{
				col("event_id", t), col("json", b), col("depth", i), col("flags", i), col("room", i), col("seq", i),
			}},
			tableRoom: {Name: "room", Key: []string{"room"}, Columns: []eventlog.Column{
				col("room", i), col("room_id", t), col("version", t), col("creator", t), col("created_ms", i),
				col("visibility", t),
			}},
			tableStateDelta: {Name: "state_delta", Key: []string{"room", "type", "state_key", "seq"},
				Columns: []eventlog.Column{
					col("room", i), col("type", t), col("state_key", t), col("seq", i), col("event_id", t),
				}},
			tableStateCurrent: {Name: "state_current", Key: []string{"room", "type", "state_key"},
				Update: []string{"seq", "event_id"}, Columns: []eventlog.Column{
					col("room", i), col("type", t), col("state_key", t), col("seq", i), col("event_id", t),
				}},
			tableExtremity: {Name: "room_extremity", Key: []string{"room"}, Update: []string{"event_ids", "depth", "seq"},
				Columns: []eventlog.Column{col("room", i), col("event_ids", t), col("depth", i), col("seq", i)}},
			tableMembership: {Name: "membership", Key: []string{"user_id", "room"},
				Update: []string{"membership", "event_id", "seq", "sender"}, Columns: []eventlog.Column{
					col("user_id", t), col("room", i), col("membership", t), col("event_id", t), col("seq", i),
					col("sender", t), col("forgotten", i),
				}},
			tableRelation: {Name: "event_relation", Key: []string{"room", "target", "seq"}, Columns: []eventlog.Column{
				col("room", i), col("target", t), col("seq", i), col("rel_type", t), col("sender", t),
				col("event_type", t), col("ts", i), col("detail", t),
			}},
			tableThread: {Name: "thread", Key: []string{"room", "root"}, Update: []string{"replies", "latest"},
				Add: []string{"replies"}, Columns: []eventlog.Column{col("room", i), col("root", t), col("replies", i), col("latest", i)}},
			tableAlias: {Name: "room_alias", Key: []string{"alias"}, Columns: []eventlog.Column{
				col("alias", t), col("room", i), col("creator", t), col("created_ms", i),
			}},
			tableProfile: profileTable,
			tableListing: listingTable,
		},
	}
}

// Migrate brings the tables of the room service up to date; those of the log itself are eventlog's.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	files, err := sub(migrations)
	if err != nil {
		return fmt.Errorf("open migrations: %w", err)
	}
	return db.Migrate(ctx, sqldb.Migration{Name: "room_service", Files: files})
}

// EventRow inserts an event.
func EventRow(eventID string, pdu []byte, depth, room, seq int64) eventlog.Row {
	return eventlog.Row{Table: tableEvent, Values: []any{eventID, pdu, depth, int64(0), room, seq}}
}

// RoomRow inserts a room.
func RoomRow(room int64, roomID, version, creator string, createdMS int64, visibility string) eventlog.Row {
	return eventlog.Row{Table: tableRoom, Values: []any{room, roomID, version, creator, createdMS, visibility}}
}

// RedactedEventRow inserts an event that was redacted before it was written.
func RedactedEventRow(eventID string, pdu []byte, depth, room, seq int64) eventlog.Row {
	return eventlog.Row{Table: tableEvent, Values: []any{eventID, pdu, depth, int64(FlagRedacted), room, seq}}
}

// StateDeltaRow notes that an event changed the state.
func StateDeltaRow(room int64, typ, key string, seq int64, eventID string) eventlog.Row {
	return eventlog.Row{Table: tableStateDelta, Values: []any{room, typ, key, seq, eventID}}
}

// StateCurrentRow makes an event the current one of its type and state key.
func StateCurrentRow(room int64, typ, key string, seq int64, eventID string) eventlog.Row {
	return eventlog.Row{Table: tableStateCurrent, Values: []any{room, typ, key, seq, eventID}}
}

// ExtremityRow replaces the room's forward extremities by the one event that follows them all.
func ExtremityRow(room int64, eventID string, depth, seq int64) eventlog.Row {
	ids, err := json.Marshal([]string{eventID})
	if err != nil { // cannot be: strings always encode
		panic(err)
	}
	return eventlog.Row{Table: tableExtremity, Values: []any{room, string(ids), depth, seq}}
}

// MembershipRow makes the user what a member event says. What they have forgotten stays so: see Store.Forget.
func MembershipRow(userID string, room int64, membership, eventID string, seq int64, sender string) eventlog.Row {
	return eventlog.Row{
		Table:  tableMembership,
		Values: []any{userID, room, membership, eventID, seq, sender, int64(0)},
	}
}

// AliasRow inserts an alias. It is an error of the append if the alias exists.
func AliasRow(alias string, room int64, creator string, createdMS int64) eventlog.Row {
	return eventlog.Row{Table: tableAlias, Values: []any{alias, room, creator, createdMS}}
}

// FlagRedacted marks an event whose JSON has been pruned.
const FlagRedacted = 1

// Redact replaces an event by its pruned form.
func Redact(eventID string, pruned []byte, room int64) eventlog.Statement {
	return eventlog.Statement{
		SQL:  `UPDATE event SET json = $1, flags = flags | 1 WHERE event_id = $2 AND room = $3`,
		Args: []any{pruned, eventID, room}, Want: 1,
	}
}

// SetMeta replaces what is kept beside an event.
func SetMeta(room, seq int64, meta []byte) eventlog.Statement {
	return eventlog.Statement{
		SQL:  `UPDATE room_entry SET body = $1 WHERE stream = $2 AND seq = $3`,
		Args: []any{meta, room, seq}, Want: 1,
	}
}
