package store

import (
	"context"
	"fmt"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// Old is an event that may be removed.
type Old struct {
	Seq, Position int64
	ID            string
	PDU           []byte
	// Size is of all that is stored of it, in bytes.
	Size int64
	// Target is the event that it relates to; "" for none.
	Target string
}

// Oldest reads the oldest events with after < seq < before, oldest first.
func (s *Store) Oldest(ctx context.Context, room, after, before int64, limit int) ([]Old, error) {
	rows, err := s.db.Query(ctx, `
SELECT e.seq, e.position, e.ref, v.json, length(v.json) + length(e.body) + 2 * length(e.ref)
FROM room_entry e JOIN event v ON v.event_id = e.ref
WHERE e.stream = $1 AND e.seq > $2 AND e.seq < $3 ORDER BY e.seq LIMIT $4`, room, after, before, limit)
	return collect(rows, err, "read the oldest events", func(rows sqldb.Rows, o *Old) error {
		return rows.Scan(&o.Seq, &o.Position, &o.ID, &o.PDU, &o.Size)
	})
}

// Removed says what is removed from a room at once.
type Removed struct {
	Room   int64
	Events []Old
	// Cleared is up to where none but state events are left then.
	Cleared int64
	// BeforeMS is the time before which events are removed: followers have to be told.
	BeforeMS int64
}

// Purge removes events that are no state events, with all that belongs to them: what relates to others, and that they are counted
// in threads. Nobody else need hold still: appends add to the counts of threads what they change (see eventlog's Table.Add), and
// those that change a removed event find that it is not there. It returns the events that it has removed: others may have been quicker.
func (s *Store) Purge(ctx context.Context, log *eventlog.Log, r Removed) (gone []Old, err error) {
	seqs := make([]int64, len(r.Events))
	for i := range r.Events {
		seqs[i] = r.Events[i].Seq
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) (err error) {
		if gone, err = deleteEvents(ctx, tx, r.Room, r.Events); err != nil {
			return err
		}
		if _, err := log.Remove(ctx, tx, r.Room, seqs); err != nil {
			return err
		}
		replies, err := unrelateAll(ctx, tx, r.Room, r.Events)
		if err != nil {
			return err
		}
		for root, n := range replies {
			if err := lessReplies(ctx, tx, r.Room, root, n, seqs); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `UPDATE room SET cleared = CASE WHEN cleared < $2 THEN $2 ELSE cleared END,
			purged = CASE WHEN purged < $3 THEN $3 ELSE purged END,
			purged_ms = CASE WHEN purged_ms < $4 THEN $4 ELSE purged_ms END, purges = purges + 1 WHERE room = $1`,
			r.Room, r.Cleared, seqs[len(seqs)-1], r.BeforeMS)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("remove %d events of room %d: %w", len(seqs), r.Room, err)
	}
	return gone, nil
}

// deleteEvents deletes events and returns those that were there.
func deleteEvents(ctx context.Context, tx sqldb.Tx, room int64, events []Old) ([]Old, error) {
	ids, byID := make([]string, len(events)), make(map[string]*Old, len(events))
	for i := range events {
		ids[i], byID[events[i].ID] = events[i].ID, &events[i]
	}
	rows, err := tx.Query(ctx, `DELETE FROM event WHERE room = $1
		AND event_id = ANY($2)                            -- postgres
		AND event_id IN (SELECT value FROM json_each($2)) -- sqlite
		RETURNING event_id`, room, ids)
	return collect(rows, err, "remove events", func(rows sqldb.Rows, o *Old) error {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		*o = *byID[id]
		return nil
	})
}

// unrelateAll removes the relations of events, and counts by root those that were in threads.
func unrelateAll(ctx context.Context, tx sqldb.Tx, room int64, events []Old) (map[string]int64, error) {
	var pairs [][2]any
	for i := range events {
		if events[i].Target != "" {
			pairs = append(pairs, [2]any{events[i].Target, events[i].Seq})
		}
	}
	if len(pairs) == 0 {
		return nil, nil
	}
	arg, err := jsonText(pairs)
	if err != nil {
		return nil, err
	}
	type gone struct{ target, relType string }
	rows, err := tx.Query(ctx, `
DELETE FROM event_relation AS r
USING (SELECT p->>0 AS target, CAST(p->>1 AS BIGINT) AS seq FROM json_array_elements($2::json) p) w           -- postgres
WHERE r.room = $1 AND r.target = w.target AND r.seq = w.seq                                                   -- postgres
WHERE r.room = $1 AND (r.target, r.seq) IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each($2)) -- sqlite
RETURNING r.target, r.rel_type                                                                               -- postgres
RETURNING target, rel_type                                                                                   -- sqlite
`, room, arg)
	all, err := collect(rows, err, "remove relations", func(rows sqldb.Rows, g *gone) error { return rows.Scan(&g.target, &g.relType) })
	replies := map[string]int64{}
	for _, g := range all {
		if g.relType == relThread {
			replies[g.target]++
		}
	}
	return replies, err
}

// lessReplies takes removed events off a thread. One that has none left is removed: the next reply makes it anew.
func lessReplies(ctx context.Context, tx sqldb.Tx, room int64, root string, n int64, seqs []int64) error {
	_, err := tx.Exec(ctx, `UPDATE thread SET replies = replies - $3, latest = CASE
		WHEN latest = ANY($4)                            -- postgres
		WHEN latest IN (SELECT value FROM json_each($4)) -- sqlite
		THEN COALESCE((SELECT max(seq) FROM event_relation WHERE room = $1 AND target = $2 AND rel_type = '`+relThread+`'), 0)
		ELSE latest END
		WHERE room = $1 AND root = $2`, room, root, n, seqs)
	if err == nil {
		_, err = tx.Exec(ctx, `DELETE FROM thread WHERE room = $1 AND root = $2 AND replies <= 0`, room, root)
	}
	return err
}
