package store

import (
	"context"

	"hongyan/platform/sqldb"
)

// LatestKey names a latest-wins entry of the log.
type LatestKey struct {
	Stream int64
	Key    string
}

// Latest is a latest-wins entry.
type Latest struct {
	LatestKey
	Position int64
	Body     []byte
}

// Latest reads those of the latest-wins entries that are there, in one query.
func (r *Reader) Latest(ctx context.Context, keys []LatestKey) ([]Latest, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	pairs := make([][2]any, len(keys))
	for i, k := range keys {
		pairs[i] = [2]any{k.Stream, k.Key}
	}
	arg, err := jsonText(pairs)
	if err != nil {
		return nil, err
	}
	rows, err := r.db.Query(ctx, `
SELECT l.stream, l.key, l.position, l.body
FROM (SELECT CAST(p->>0 AS BIGINT) AS stream, p->>1 AS key FROM json_array_elements($1::json) p) w               -- postgres
FROM (SELECT json_extract(value, '$[0]') AS stream, json_extract(value, '$[1]') AS key FROM json_each($1)) w -- sqlite
CROSS JOIN room_latest l -- sqlite
JOIN room_latest l       -- postgres
ON l.stream = w.stream AND l.key = w.key`, arg)
	return collect(rows, err, "read latest entries", func(rows sqldb.Rows, l *Latest) error {
		return rows.Scan(&l.Stream, &l.Key, &l.Position, &l.Body)
	})
}

// Streams returns the numbers of the streams of those rooms that are there.
func (r *Reader) Streams(ctx context.Context, roomIDs []string) (map[string]int64, error) {
	type stream struct {
		id   int64
		name string
	}
	rows, err := r.db.Query(ctx, `
SELECT stream, name FROM room_stream
WHERE name = ANY($1)                            -- postgres
WHERE name IN (SELECT value FROM json_each($1)) -- sqlite
`, roomIDs)
	list, err := collect(rows, err, "read streams", func(rows sqldb.Rows, s *stream) error {
		return rows.Scan(&s.id, &s.name)
	})
	byName := make(map[string]int64, len(list))
	for _, s := range list {
		byName[s.name] = s.id
	}
	return byName, err
}
