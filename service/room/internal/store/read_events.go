package store

import (
	"context"

	"hongyan/platform/sqldb"
)

// Event is an event with its place in its room and in its shard.
type Event struct {
	ID       string
	Seq      int64
	Position int64
	PDU      []byte
	// Meta is the entry's body, an encoded EventMeta.
	Meta     []byte
	Redacted bool
}

// eventColumns are what scanEvent reads, from room_entry e and event v.
const eventColumns = `v.event_id, COALESCE(e.seq, 0), COALESCE(e.position, 0), v.json, e.body, v.flags`

func scanEvent(rows sqldb.Rows, e *Event) error {
	var flags int64
	if err := rows.Scan(&e.ID, &e.Seq, &e.Position, &e.PDU, &e.Meta, &flags); err != nil {
		return err
	}
	e.Redacted = flags&FlagRedacted != 0
	return nil
}

// Backward reads the newest events with after < seq <= through, newest first.
func (r *Reader) Backward(ctx context.Context, room, after, through int64, limit int) ([]Event, error) {
	rows, err := r.db.Query(ctx, `
SELECT `+eventColumns+`
FROM room_entry e JOIN event v ON v.event_id = e.ref
WHERE e.stream = $1 AND e.seq > $2 AND e.seq <= $3
ORDER BY e.seq DESC LIMIT $4`, room, after, through, limit)
	return collect(rows, err, "read events backwards", scanEvent)
}

// Forward reads the oldest events with after < seq <= through, oldest first.
func (r *Reader) Forward(ctx context.Context, room, after, through int64, limit int) ([]Event, error) {
	rows, err := r.db.Query(ctx, `
SELECT `+eventColumns+`
FROM room_entry e JOIN event v ON v.event_id = e.ref
WHERE e.stream = $1 AND e.seq > $2 AND e.seq <= $3
ORDER BY e.seq LIMIT $4`, room, after, through, limit)
	return collect(rows, err, "read events forwards", scanEvent)
}

// Event reads one event of a room by its id; ok is false where the room's order has no such event.
func (r *Reader) Event(ctx context.Context, room int64, id string) (e Event, ok bool, err error) {
	events, err := r.Events(ctx, room, []string{id})
	if err != nil || len(events) == 0 {
		return Event{}, false, err
	}
	return events[0], true, nil
}

// Events reads those of the events that stand in the room's order, oldest first.
func (r *Reader) Events(ctx context.Context, room int64, ids []string) ([]Event, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := r.db.Query(ctx, `
SELECT `+eventColumns+`
FROM event v JOIN room_entry e ON e.stream = v.room AND e.seq = v.seq
WHERE v.room = $1
AND v.event_id = ANY($2)                            -- postgres
AND v.event_id IN (SELECT value FROM json_each($2)) -- sqlite
ORDER BY e.seq`, room, ids)
	return collect(rows, err, "read events", scanEvent)
}

// Notes reads what is kept beside the oldest events with after < seq <= through, oldest first: all but the events.
func (r *Reader) Notes(ctx context.Context, room, after, through int64, limit int) ([]Event, error) {
	rows, err := r.db.Query(ctx, `
SELECT ref, seq, position, body FROM room_entry
WHERE stream = $1 AND seq > $2 AND seq <= $3 AND ref IS NOT NULL
ORDER BY seq LIMIT $4`, room, after, through, limit)
	return collect(rows, err, "read notes", func(rows sqldb.Rows, e *Event) error {
		return rows.Scan(&e.ID, &e.Seq, &e.Position, &e.Meta)
	})
}

// EventsUpTo reads, for each of some sequence numbers, the newest event up to it and after another one, oldest first and each once.
func (r *Reader) EventsUpTo(ctx context.Context, room, after int64, seqs []int64) ([]Event, error) {
	if len(seqs) == 0 {
		return nil, nil
	}
	rows, err := r.db.Query(ctx, `
SELECT `+eventColumns+`
FROM (SELECT DISTINCT (SELECT max(n.seq) FROM room_entry n WHERE n.stream = $1 AND n.seq > $2 AND n.seq <= w.seq) AS seq
      FROM (SELECT unnest(CAST($3 AS BIGINT[])) AS seq) w) b     -- postgres
      FROM (SELECT value AS seq FROM json_each($3)) w) b         -- sqlite
JOIN room_entry e ON e.stream = $1 AND e.seq = b.seq JOIN event v ON v.event_id = e.ref
ORDER BY e.seq`, room, after, seqs)
	return collect(rows, err, "read events", scanEvent)
}

// EventsAt reads events by their sequence numbers, oldest first.
func (r *Reader) EventsAt(ctx context.Context, room int64, seqs []int64) ([]Event, error) {
	if len(seqs) == 0 {
		return nil, nil
	}
	rows, err := r.db.Query(ctx, `
SELECT `+eventColumns+`
FROM room_entry e JOIN event v ON v.event_id = e.ref
WHERE e.stream = $1
AND e.seq = ANY($2)                            -- postgres
AND e.seq IN (SELECT value FROM json_each($2)) -- sqlite
ORDER BY e.seq`, room, seqs)
	return collect(rows, err, "read events", scanEvent)
}
