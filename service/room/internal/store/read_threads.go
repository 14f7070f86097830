package store

import (
	"context"
	"fmt"

	"hongyan/platform/sqldb"
)

// Threads reads the threads whose newest reply stands before a sequence number, that with the newest reply first.
func (r *Reader) Threads(ctx context.Context, room, before int64, limit int) ([]Thread, error) {
	rows, err := r.db.Query(ctx, `
SELECT root, replies, latest FROM thread
WHERE room = $1 AND latest < $2 AND latest > 0 ORDER BY latest DESC LIMIT $3`, room, before, limit)
	return collect(rows, err, "read threads", func(rows sqldb.Rows, t *Thread) error { return rows.Scan(&t.Root, &t.Replies, &t.Latest) })
}

// Span is a range of sequence numbers, both ends included.
type Span struct{ First, Last int64 }

// ThreadWithin reads what of a thread lies in some ranges and is not by some users. It costs as much as lies there.
func (r *Reader) ThreadWithin(ctx context.Context, room int64, root string, spans []Span, without []string) (Thread, error) {
	pairs := make([][2]int64, len(spans))
	for i, s := range spans {
		pairs[i] = [2]int64{s.First, s.Last}
	}
	arg, err := jsonText(pairs)
	if err != nil {
		return Thread{}, err
	}
	if without == nil {
		without = []string{}
	}
	t := Thread{Root: root}
	err = r.db.QueryRow(ctx, `
SELECT count(*), COALESCE(max(r.seq), 0)
FROM (SELECT CAST(p->>0 AS BIGINT) AS first, CAST(p->>1 AS BIGINT) AS last FROM json_array_elements($3::json) p) w            -- postgres
FROM (SELECT json_extract(value, '$[0]') AS first, json_extract(value, '$[1]') AS last FROM json_each($3)) w                -- sqlite
CROSS JOIN event_relation r -- sqlite
JOIN event_relation r       -- postgres
ON r.room = $1 AND r.target = $2 AND r.rel_type = '`+relThread+`' AND r.seq >= w.first AND r.seq <= w.last
WHERE r.sender <> ALL($4)                                 -- postgres
WHERE r.sender NOT IN (SELECT value FROM json_each($4)) -- sqlite
`, room, root, arg, without).Scan(&t.Replies, &t.Latest)
	if err != nil {
		return Thread{}, fmt.Errorf("read thread off %s: %w", root, err)
	}
	return t, nil
}
