package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"hongyan/platform/sqldb"
)

// Stream returns the stream of a name and makes it if it is missing.
func (l *Log) Stream(ctx context.Context, name string) (Stream, error) {
	if name == "" {
		return Stream{}, errors.New("eventlog: a stream needs a name")
	}
	for {
		s, ok, err := l.Lookup(ctx, name)
		if err != nil || ok {
			return s, err
		}
		if _, err := l.db.Exec(ctx, l.sql.insertStream, name, ShardOf(name, l.shards)); err != nil {
			return Stream{}, fmt.Errorf("make stream %s: %w", name, err)
		}
	}
}

// Lookup returns the stream of a name, if there is one.
func (l *Log) Lookup(ctx context.Context, name string) (Stream, bool, error) {
	s := Stream{Name: name}
	err := l.db.QueryRow(ctx, l.sql.stream, name).Scan(&s.ID, &s.Shard, &s.Seq)
	if errors.Is(err, sqldb.ErrNoRows) {
		return Stream{}, false, nil
	}
	if err != nil {
		return Stream{}, false, fmt.Errorf("look up stream %s: %w", name, err)
	}
	l.names.put(s.ID, name)
	return s, true, nil
}

// Streams returns the streams of several names in their order, and makes those that are missing. Where all are there it is one
// query.
func (l *Log) Streams(ctx context.Context, names []string) ([]Stream, error) {
	found, err := l.lookupAll(ctx, names)
	if err != nil {
		return nil, err
	}
	streams := make([]Stream, len(names))
	for i, name := range names {
		s, ok := found[name]
		if !ok {
			if s, err = l.Stream(ctx, name); err != nil {
				return nil, err
			}
		}
		streams[i] = s
	}
	return streams, nil
}

// lookupAll returns those of some streams that are there.
func (l *Log) lookupAll(ctx context.Context, names []string) (map[string]Stream, error) {
	rows, err := l.db.Query(ctx, l.sql.streams, names)
	if err != nil {
		return nil, fmt.Errorf("look up %d streams: %w", len(names), err)
	}
	defer rows.Close()
	found := make(map[string]Stream, len(names))
	for rows.Next() {
		var s Stream
		if err := rows.Scan(&s.ID, &s.Name, &s.Shard, &s.Seq); err != nil {
			return nil, fmt.Errorf("look up %d streams: %w", len(names), err)
		}
		l.names.put(s.ID, s.Name)
		found[s.Name] = s
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look up %d streams: %w", len(names), err)
	}
	return found, nil
}

// Heads returns the epoch and the head of every shard, in one query.
func (l *Log) Heads(ctx context.Context) (Heads, error) {
	h := Heads{Shard: make([]int64, 0, l.shards)}
	rows, err := l.db.Query(ctx, l.sql.heads)
	if err != nil {
		return Heads{}, fmt.Errorf("heads of log %s: %w", l.schema.Name, err)
	}
	defer rows.Close()
	for rows.Next() {
		var epoch, head int64
		if err := rows.Scan(&epoch, &head); err != nil {
			return Heads{}, fmt.Errorf("heads of log %s: %w", l.schema.Name, err)
		}
		h.Epoch, h.Shard = uint64(epoch), append(h.Shard, head)
	}
	if err := rows.Err(); err != nil {
		return Heads{}, fmt.Errorf("heads of log %s: %w", l.schema.Name, err)
	}
	return h, nil
}

// SeqAt returns the stream's newest sequence number whose position is at or before a shard position;
// 0 when there is none. It costs as many look-ups as the sequence number has bits.
func (l *Log) SeqAt(ctx context.Context, stream Stream, position int64) (int64, error) {
	var seq int64
	err := l.db.QueryRow(ctx, l.sql.seqAt, stream.ID, position).Scan(&seq)
	if err != nil {
		return 0, fmt.Errorf("sequence of stream %d at position %d: %w", stream.ID, position, err)
	}
	return seq, nil
}

// PositionAt returns the shard position of a stream's newest entry at or before a sequence number; 0 where there is none.
func (l *Log) PositionAt(ctx context.Context, stream Stream, seq int64) (int64, error) {
	if seq == 0 {
		return 0, nil
	}
	var position int64
	err := l.db.QueryRow(ctx, l.sql.positionAt, stream.ID, seq).Scan(&position)
	if errors.Is(err, sqldb.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("position of entry %d of stream %d: %w", seq, stream.ID, err)
	}
	return position, nil
}

// name returns the name of a stream.
func (l *Log) name(ctx context.Context, id int64) (string, error) {
	if name, ok := l.names.get(id); ok {
		return name, nil
	}
	var name string
	if err := l.db.QueryRow(ctx, l.sql.streamByID, id).Scan(&name); err != nil {
		return "", fmt.Errorf("name of stream %d: %w", id, err)
	}
	l.names.put(id, name)
	return name, nil
}

// maxNames bounds the names that are remembered: some 10 MB.
const maxNames = 100_000

// names remembers what streams are called. Names never change.
type names struct {
	mu   sync.RWMutex
	byID map[int64]string
}

func newNames() *names { return &names{byID: make(map[int64]string)} }

func (n *names) get(id int64) (string, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	name, ok := n.byID[id]
	return name, ok
}

func (n *names) put(id int64, name string) {
	if _, ok := n.get(id); ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.byID) >= maxNames {
		for some := range n.byID {
			delete(n.byID, some)
			break
		}
	}
	n.byID[id] = name
}
