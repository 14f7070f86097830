package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// Relation is what is stored of how an event relates to another one.
type Relation struct {
	Target, RelType string
	// Seq, Sender, EventType and TS are of the event that relates.
	Seq               int64
	Sender, EventType string
	TS                int64
	// Detail is what else the relation says: see event_relation in the migrations.
	Detail string
}

// What relations are called that this package knows more of.
const (
	relAnnotation = "m.annotation"
	relReplace    = "m.replace"
	relReference  = "m.reference"
	relThread     = "m.thread"
)

// NewContent is the detail of an m.replace that brings new content.
const NewContent = "new"

// RelationRow notes a relation.
func RelationRow(room int64, r Relation) eventlog.Row {
	return eventlog.Row{Table: tableRelation, Values: []any{room, r.Target, r.Seq, r.RelType, r.Sender, r.EventType, r.TS, r.Detail}}
}

// Unrelate takes a relation back, once the event seq is redacted.
func Unrelate(room int64, target string, seq int64) eventlog.Statement {
	return eventlog.Statement{
		SQL: `DELETE FROM event_relation WHERE room = $1 AND target = $2 AND seq = $3`, Args: []any{room, target, seq},
	}
}

// Thread is a thread as a whole.
type Thread struct {
	Root    string
	Replies int64
	// Latest is the sequence number of the newest reply; 0 where there is none.
	Latest int64
	// Stored is what Replies was when it was read: what was changed since is written.
	Stored int64
}

// ThreadRow makes a thread what is given, but for what was purged of it since it was read.
func ThreadRow(room int64, t Thread) eventlog.Row {
	return eventlog.Row{Table: tableThread, Values: []any{room, t.Root, t.Replies - t.Stored, t.Latest}}
}

// Thread reads a thread; ok is false where there never was one off this event.
func (s *Store) Thread(ctx context.Context, room int64, root string) (t Thread, ok bool, err error) {
	t.Root = root
	err = s.db.QueryRow(ctx, `SELECT replies, latest FROM thread WHERE room = $1 AND root = $2`, room, root).Scan(&t.Replies, &t.Latest)
	if errors.Is(err, sqldb.ErrNoRows) {
		return Thread{}, false, nil
	} else if err != nil {
		return Thread{}, false, fmt.Errorf("read thread off %s: %w", root, err)
	}
	t.Stored = t.Replies
	return t, true, nil
}

// Replies returns the sequence numbers of a thread's newest events, newest first.
func (s *Store) Replies(ctx context.Context, room int64, root string, limit int) ([]int64, error) {
	rows, err := s.db.Query(ctx, `
SELECT seq FROM event_relation WHERE room = $1 AND target = $2 AND rel_type = '`+relThread+`'
ORDER BY seq DESC LIMIT $3`, room, root, limit)
	return collect(rows, err, "read replies", scanSeq)
}

// Annotations returns the sequence numbers of the annotations of an event that say the same: by this sender, of this type
// and with this key.
func (s *Store) Annotations(ctx context.Context, room int64, r Relation, limit int) ([]int64, error) {
	rows, err := s.db.Query(ctx, `
SELECT seq FROM event_relation
WHERE room = $1 AND target = $2 AND rel_type = '`+relAnnotation+`' AND sender = $3 AND event_type = $4 AND detail = $5
LIMIT $6`, room, r.Target, r.Sender, r.EventType, r.Detail, limit)
	return collect(rows, err, "read annotations", scanSeq)
}

func scanSeq(rows sqldb.Rows, seq *int64) error { return rows.Scan(seq) }

// Related returns which of the targets an event through a sequence number relates to in one of the ways and by one of the
// senders. A nil list allows all.
func (r *Reader) Related(ctx context.Context, room, through int64, targets, relTypes, senders []string) ([]string, error) {
	if len(targets) == 0 {
		return nil, nil
	}
	rows, err := r.db.Query(ctx, `
SELECT DISTINCT target FROM event_relation
WHERE room = $1 AND seq <= $2
AND target = ANY($3)                                            -- postgres
AND ($4 = 0 OR rel_type = ANY($5)) AND ($6 = 0 OR sender = ANY($7)) -- postgres
AND target IN (SELECT value FROM json_each($3))                 -- sqlite
AND ($4 = 0 OR rel_type IN (SELECT value FROM json_each($5)))   -- sqlite
AND ($6 = 0 OR sender IN (SELECT value FROM json_each($7)))     -- sqlite
`, room, through, targets, bit(relTypes != nil), relTypes, bit(senders != nil), senders)
	return collect(rows, err, "read relations", func(rows sqldb.Rows, target *string) error { return rows.Scan(target) })
}
