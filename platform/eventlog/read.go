package eventlog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Read returns a shard's records after a position, at most limit of them and in order, and the position through which
// they are all: the last record's, or the shard's head. Positions in between that have no record are empty. What this
// process wrote lately comes from memory. A position beyond the head gives the head, which is less.
func (l *Log) Read(ctx context.Context, shard int, after int64, limit int) ([]Record, int64, error) {
	if shard < 0 || shard >= l.shards || limit <= 0 {
		return nil, 0, fmt.Errorf("read %d records of shard %d: out of range", limit, shard)
	}
	if records, through, ok := l.tail.read(shard, after, limit); ok {
		l.metrics.tailHits.Inc()
		return records, through, nil
	}
	l.metrics.tailMisses.Inc()
	records, err := l.records(ctx, l.sql.read, shard, after, limit)
	if err != nil {
		return nil, 0, fmt.Errorf("read shard %d after %d: %w", shard, after, err)
	}
	records, through, ok := cutHead(records)
	if !ok {
		return nil, 0, fmt.Errorf("read shard %d: the shard is missing", shard)
	}
	byPosition := func(a, b Record) int { return cmp.Compare(a.Position, b.Position) }
	if !slices.IsSortedFunc(records, byPosition) {
		slices.SortFunc(records, byPosition)
	}
	if len(records) >= limit {
		records = records[:limit]
		through = records[limit-1].Position
	}
	return records, through, nil
}

// cutHead takes the row of the shard's head, which alone has no stream, out of the rows of a page. It may stand
// anywhere: a union has no order.
func cutHead(rows []Record) (records []Record, head int64, ok bool) {
	at := slices.IndexFunc(rows, func(r Record) bool { return r.Stream == 0 })
	if at < 0 {
		return rows, 0, false
	}
	head = rows[at].Position
	return slices.Delete(rows, at, at+1), head, true
}

// Latest returns the latest-wins records of a stream whose keys begin with a prefix, in the order of their keys.
func (l *Log) Latest(ctx context.Context, stream int64, keyPrefix string) ([]Record, error) {
	records, err := l.records(ctx, l.sql.latest, stream, keyPrefix, AfterPrefix(keyPrefix))
	if err != nil {
		return nil, fmt.Errorf("latest records of stream %d: %w", stream, err)
	}
	return records, nil
}

// LatestAfter returns the latest-wins records of many streams, each after a position of its shard, in one
// query and in the order of stream and position.
func (l *Log) LatestAfter(ctx context.Context, streams map[int64]int64) ([]Record, error) {
	if len(streams) == 0 {
		return nil, nil
	}
	ids, after := make([]int64, 0, len(streams)), make([]int64, 0, len(streams))
	for id, position := range streams {
		ids, after = append(ids, id), append(after, position)
	}
	records, err := l.records(ctx, l.sql.latestAfter, ids, after)
	if err != nil {
		return nil, fmt.Errorf("latest records of %d streams: %w", len(streams), err)
	}
	return records, nil
}

// records runs a query for records.
func (l *Log) records(ctx context.Context, sql string, args ...any) ([]Record, error) {
	rows, err := l.db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var records []Record
	for rows.Next() {
		var r Record
		var kind int64
		err := rows.Scan(&r.Shard, &r.Position, &r.Stream, &r.Name, &r.Seq, &kind, &r.Key, &r.Ref, &r.Body, &r.Doc)
		if err != nil {
			return nil, err
		}
		r.Kind = Kind(kind)
		records = append(records, r)
	}
	return records, rows.Err()
}

// AfterPrefix returns the least string greater than all that begin with the prefix; "" when there is none.
func AfterPrefix(prefix string) string {
	for prefix != "" {
		last, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch {
		case last == utf8.MaxRune:
			continue
		case last+1 == 0xD800:
			return prefix + "\uE000" // after the surrogates, which are no characters
		default:
			return prefix + string(last+1)
		}
	}
	return ""
}
