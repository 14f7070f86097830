package store

import (
	"context"
	"fmt"

	"hongyan/platform/sqldb"
)

// RelatedTo says which events are looked for: those that relate to one of the targets, where RelType and EventType are not
// empty in this way and of this type.
type RelatedTo struct {
	Targets            []string
	RelType, EventType string
}

// where is the condition on event_relation r, whose first argument is $first, and the arguments. One target, the usual case, is
// compared with, so that an index has the rows in order.
func (t RelatedTo) where(first int) (sql string, args []any) {
	if len(t.Targets) == 1 {
		sql, args = fmt.Sprintf("r.target = $%d\n", first), []any{t.Targets[0]}
	} else {
		sql = fmt.Sprintf("r.target = ANY($%[1]d) -- postgres\nr.target IN (SELECT value FROM json_each($%[1]d)) -- sqlite\n", first)
		args = []any{t.Targets}
	}
	if t.RelType != "" {
		args = append(args, t.RelType)
		sql += fmt.Sprintf("AND r.rel_type = $%d\n", first+len(args)-1)
	}
	if t.EventType != "" {
		args = append(args, t.EventType)
		sql += fmt.Sprintf("AND r.event_type = $%d\n", first+len(args)-1)
	}
	return sql, args
}

// RelatingBackward reads the newest events with after < seq <= through that relate, newest first.
func (r *Reader) RelatingBackward(ctx context.Context, room int64, to RelatedTo, after, through int64, limit int) ([]Event, error) {
	return r.relating(ctx, room, to, after, through, limit, "DESC")
}

// RelatingForward reads the oldest events with after < seq <= through that relate, oldest first.
func (r *Reader) RelatingForward(ctx context.Context, room int64, to RelatedTo, after, through int64, limit int) ([]Event, error) {
	return r.relating(ctx, room, to, after, through, limit, "ASC")
}

func (r *Reader) relating(ctx context.Context, room int64, to RelatedTo, after, through int64, limit int, order string) ([]Event, error) {
	where, args := to.where(5)
	rows, err := r.db.Query(ctx, `
WITH found AS MATERIALIZED (
	SELECT r.room, r.seq FROM event_relation r WHERE r.room = $1 AND r.seq > $2 AND r.seq <= $3 AND
`+where+`ORDER BY r.seq `+order+` LIMIT $4)
SELECT `+eventColumns+`
FROM found w
CROSS JOIN room_entry e -- sqlite
JOIN room_entry e       -- postgres
ON e.stream = w.room AND e.seq = w.seq JOIN event v ON v.event_id = e.ref ORDER BY w.seq `+order, append([]any{room, after, through, limit}, args...)...)
	return collect(rows, err, "read relating events", scanEvent)
}

// RelatingIDs reads the ids of the events through a sequence number that relate, in no order.
func (r *Reader) RelatingIDs(ctx context.Context, room int64, to RelatedTo, through int64, limit int) ([]string, error) {
	where, args := to.where(4)
	rows, err := r.db.Query(ctx, `
WITH found AS MATERIALIZED (
	SELECT r.room, r.seq FROM event_relation r WHERE r.room = $1 AND r.seq <= $2 AND
`+where+`LIMIT $3)
SELECT e.ref FROM found w
CROSS JOIN room_entry e -- sqlite
JOIN room_entry e       -- postgres
ON e.stream = w.room AND e.seq = w.seq`, append([]any{room, through, limit}, args...)...)
	return collect(rows, err, "read ids of relating events", func(rows sqldb.Rows, id *string) error { return rows.Scan(id) })
}

// Parent is an event whose relations are summarised.
type Parent struct{ ID, Sender, Type string }

// Children is what relates to an event.
type Children struct {
	ID string
	// Edit is the sequence number of the newest replacement by its sender; 0 where there is none.
	Edit int64
	// Referenced tells that there are references to it.
	Referenced bool
	// Replies and Latest are its thread's, Participated tells that the reader has written in it.
	Replies, Latest int64
	Participated    bool
}

// None tells whether nothing relates to the event.
func (c *Children) None() bool { return c.Edit == 0 && !c.Referenced && c.Replies == 0 }

// newestEdit is how the replacements of an event that count are found, the newest first: events of its sender and type with new
// content. The sign before seq keeps SQLite from going through all replacements by it. It is made of the SQL of the event's id, sender and type.
func newestEdit(id, sender, eventType string) string {
	return `SELECT r.seq FROM event_relation r JOIN room_entry e ON e.stream = r.room AND e.seq = r.seq
WHERE r.room = $1 AND r.target = ` + id + ` AND r.rel_type = '` + relReplace + `'
AND r.sender = ` + sender + ` AND r.event_type = ` + eventType + ` AND r.detail = '` + NewContent + `' AND +r.seq <= $2
ORDER BY r.ts DESC, e.ref DESC`
}

// parents unpacks the list of Parents in $3.
const parents = `(SELECT p->>0 AS id, p->>1 AS sender, p->>2 AS type FROM json_array_elements($3::json) p) w                -- postgres
(SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS sender, json_extract(value, '$[2]') AS type FROM json_each($3)) w -- sqlite
`

// Children reads what relates to each of the events, by events through a sequence number; threads are as they are now. It costs
// some look-ups for each, however much relates to it.
func (r *Reader) Children(ctx context.Context, room, through int64, userID string, of []Parent) ([]Children, error) {
	list := make([][3]string, len(of))
	for i, p := range of {
		list[i] = [3]string{p.ID, p.Sender, p.Type}
	}
	arg, err := jsonText(list)
	if err != nil {
		return nil, err
	}
	rows, err := r.db.Query(ctx, `
SELECT w.id, COALESCE((`+newestEdit("w.id", "w.sender", "w.type")+` LIMIT 1), 0),
EXISTS (SELECT 1 FROM event_relation r WHERE r.room = $1 AND r.target = w.id AND r.rel_type = '`+relReference+`' AND r.seq <= $2),
COALESCE(t.replies, 0), COALESCE(t.latest, 0),
COALESCE(t.replies, 0) > 0 AND EXISTS (SELECT 1 FROM event_relation r
	WHERE r.room = $1 AND r.target = w.id AND r.rel_type = '`+relThread+`' AND r.sender = $4 AND +r.seq <= $2)
FROM
`+parents+`LEFT JOIN thread t ON t.room = $1 AND t.root = w.id`, room, through, arg, userID)
	return collect(rows, err, "read children", func(rows sqldb.Rows, c *Children) error {
		return rows.Scan(&c.ID, &c.Edit, &c.Referenced, &c.Replies, &c.Latest, &c.Participated)
	})
}

// Edits reads the sequence numbers of an event's replacements through a sequence number, the newest first.
func (r *Reader) Edits(ctx context.Context, room, through int64, of Parent, limit int) ([]int64, error) {
	rows, err := r.db.Query(ctx, newestEdit("$3", "$4", "$5")+` LIMIT $6`, room, through, of.ID, of.Sender, of.Type, limit)
	return collect(rows, err, "read edits", scanSeq)
}

// Reference is an event that references another one.
type Reference struct {
	ID, Sender string
	Seq        int64
}

// References reads the newest events through a sequence number that reference an event, newest first.
func (r *Reader) References(ctx context.Context, room, through int64, id string, limit int) ([]Reference, error) {
	rows, err := r.db.Query(ctx, `
SELECT e.ref, r.sender, r.seq FROM event_relation r JOIN room_entry e ON e.stream = r.room AND e.seq = r.seq
WHERE r.room = $1 AND r.target = $2 AND r.rel_type = '`+relReference+`' AND r.seq <= $3
ORDER BY r.seq DESC LIMIT $4`, room, id, through, limit)
	return collect(rows, err, "read references", func(rows sqldb.Rows, f *Reference) error { return rows.Scan(&f.ID, &f.Sender, &f.Seq) })
}
