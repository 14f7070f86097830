package userlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	syncpb "hongyan/api/sync"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/once"
	"hongyan/platform/sqldb"
)

// Schema is the log's. It has no tables besides.
func Schema() eventlog.Schema { return eventlog.Schema{Name: "sync"} }

// Store reads and writes the user log.
type Store struct {
	log    *eventlog.Log
	limits Limits
	// Changes of one entry that depend on what it was run one after the other, so that they seldom meet: each holds the
	// one token of its entry's slot.
	slots [64]chan struct{}
}

// New returns a store over the log, which its owner runs.
func New(log *eventlog.Log, limits Limits) *Store {
	s := &Store{log: log, limits: limits}
	for i := range s.slots {
		s.slots[i] = make(chan struct{}, 1)
	}
	return s
}

// PutData sets account data of a user, global where the room is "". content is a JSON object. Beyond the limits it fails
// with M_RESOURCE_LIMIT_EXCEEDED or M_TOO_LARGE; data that are set through several instances at once may exceed them by
// as much. With a transaction it happens once.
func (s *Store) PutData(ctx context.Context, userID string, d *syncpb.AccountData, txn eventlog.Txn) error {
	entry, err := dataEntry(d)
	if err != nil {
		return err
	}
	// One after the other, so that each sees what those before it have stored.
	release, err := s.enter(ctx, userID)
	if err != nil {
		return err
	}
	defer release()
	stream, err := s.log.Stream(ctx, userID)
	if err != nil {
		return err
	}
	old, err := s.exact(ctx, stream.ID, entry.Key)
	if err != nil {
		return err
	}
	if err := s.fits(ctx, stream.ID, &entry, old); err != nil {
		return once.Settle(ctx, s.log, txn, err)
	}
	_, err = s.log.Append(ctx, eventlog.Append{
		Stream: stream, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{entry}, Txns: once.Txns(txn),
	})
	return once.Settle(ctx, s.log, txn, err)
}

// enter waits until nobody else here is between reading and writing what has this name.
func (s *Store) enter(ctx context.Context, name string) (release func(), err error) {
	slot := s.slots[eventlog.ShardOf(name, len(s.slots))]
	select {
	case slot <- struct{}{}:
		return func() { <-slot }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for another change of the entry: %w", ctx.Err())
	}
}

// Data reads account data from the database; nil where it is not set.
func (s *Store) Data(ctx context.Context, userID, roomID, eventType string) ([]byte, error) {
	record, err := s.latest(ctx, userID, dataKey(roomID, eventType))
	if err != nil || record == nil {
		return nil, err
	}
	d := &syncpb.AccountData{}
	if err := proto.Unmarshal(record.Body, d); err != nil {
		return nil, fmt.Errorf("read account data %q: %w", eventType, err)
	}
	return d.Content, nil
}

// RoomData reads all account data that a user has attached to a room; with no room the global ones.
func (s *Store) RoomData(ctx context.Context, userID, roomID string) ([]*syncpb.AccountData, error) {
	stream, ok, err := s.log.Lookup(ctx, userID)
	if err != nil || !ok {
		return nil, err
	}
	records, err := s.log.Latest(ctx, stream.ID, roomPrefix(dataPrefix, roomID))
	if err != nil {
		return nil, err
	}
	data := make([]*syncpb.AccountData, len(records))
	for i, r := range records {
		data[i] = &syncpb.AccountData{}
		if err := proto.Unmarshal(r.Body, data[i]); err != nil {
			return nil, fmt.Errorf("read account data: %w", err)
		}
	}
	return data, nil
}

// maxAttempts bounds how often a change is made anew because another instance was quicker.
const maxAttempts = 50

// ChangeData replaces account data by what change makes of it; content is nil where it is not set. change may run more
// than once. No data are written when it returns nil or an error. With a transaction it happens once.
func (s *Store) ChangeData(
	ctx context.Context, userID, roomID, eventType string, txn eventlog.Txn, change func(content []byte) ([]byte, error),
) error {
	err := s.change(ctx, userID, dataKey(roomID, eventType), true, txn, func(record *eventlog.Record) (*eventlog.Entry, error) {
		old := &syncpb.AccountData{}
		if record != nil {
			if err := proto.Unmarshal(record.Body, old); err != nil {
				return nil, fmt.Errorf("read account data %q: %w", eventType, err)
			}
		}
		content, err := change(old.Content)
		if err != nil || content == nil {
			return nil, err
		}
		entry, err := dataEntry(&syncpb.AccountData{RoomId: roomID, Type: eventType, Content: content})
		return &entry, err
	})
	return once.Settle(ctx, s.log, txn, err)
}

// change replaces an entry by what make makes of it, nil where there is none; nothing is written when it returns nil. A
// guarded change is made anew where another instance was quicker; it costs a transaction of its own.
func (s *Store) change(
	ctx context.Context, userID, key string, guarded bool, txn eventlog.Txn, make func(*eventlog.Record) (*eventlog.Entry, error),
) error {
	name := userID + key
	if guarded {
		name = userID // account data share their limits
	}
	release, err := s.enter(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	stream, err := s.log.Stream(ctx, userID)
	if err != nil {
		return err
	}
	for attempt := range maxAttempts {
		old, err := s.exact(ctx, stream.ID, key)
		if err != nil {
			return err
		}
		entry, err := make(old)
		if err != nil {
			return err
		}
		if entry == nil {
			return once.Unchanged(ctx, s.log, txn)
		}
		if guarded {
			if err := s.fits(ctx, stream.ID, entry, old); err != nil {
				return err
			}
		}
		a := eventlog.Append{Stream: stream, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{*entry}, Txns: once.Txns(txn)}
		if guarded {
			a.Statements = unchanged(stream.ID, key, old)
		}
		_, err = s.log.Append(ctx, a)
		if !errors.Is(err, eventlog.ErrConflict) {
			return err
		}
		select {
		case <-time.After(time.Duration(attempt) * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("change entry: %w", eventlog.ErrUnavailable)
}

// unchanged are statements that hold an append back unless the latest entry of a key still is the given one. Another
// instance's change of the same key waits for the row that the first statement locks.
func unchanged(stream int64, key string, record *eventlog.Record) []eventlog.Statement {
	lock := eventlog.Statement{SQL: "UPDATE sync_stream SET seq = seq WHERE stream = $1", Args: []any{stream}, Want: 1}
	if record == nil {
		return []eventlog.Statement{lock, {
			SQL: "UPDATE sync_stream SET seq = seq WHERE stream = $1 AND NOT EXISTS " +
				"(SELECT 1 FROM sync_latest WHERE stream = $1 AND key = $2)",
			Args: []any{stream, key}, Want: 1,
		}}
	}
	return []eventlog.Statement{lock, {
		SQL:  "UPDATE sync_latest SET position = position WHERE stream = $1 AND key = $2 AND position = $3",
		Args: []any{stream, key, record.Position}, Want: 1,
	}}
}

// AdvanceMark notes how far the user has read, unless what is stored is further, or is being stored through another
// instance: that is read first so that little is written for nothing, and decided by the log. Of a user's marks in threads of a
// room, MaxThreads and some are kept, those of the newest events.
func (s *Store) AdvanceMark(ctx context.Context, userID string, m *syncpb.ReadMark) error {
	const root = "$"
	if err := s.advance(ctx, userID, m); err != nil || !strings.HasPrefix(m.ThreadId, root) {
		return err
	}
	stream, err := s.log.Stream(ctx, userID)
	if err != nil {
		return err
	}
	return s.log.Trim(ctx, stream.ID, markKey(m.RoomId, m.ReceiptType, root), MaxThreads)
}

// MaxThreads is of how many threads of a room the marks of a user are kept at least, of each receipt type.
const MaxThreads = 1000

func (s *Store) advance(ctx context.Context, userID string, m *syncpb.ReadMark) error {
	key := markKey(m.RoomId, m.ReceiptType, m.ThreadId)
	return s.change(ctx, userID, key, false, eventlog.Txn{}, func(old *eventlog.Record) (*eventlog.Entry, error) {
		stored := &syncpb.ReadMark{}
		if old != nil {
			if err := proto.Unmarshal(old.Body, stored); err != nil {
				return nil, fmt.Errorf("read read mark: %w", err)
			}
		}
		if stored.EventSeq >= m.EventSeq {
			return nil, nil
		}
		body, err := proto.Marshal(m)
		if err != nil {
			return nil, fmt.Errorf("encode read mark: %w", err)
		}
		return &eventlog.Entry{
			Kind: eventlog.Kind(syncpb.EntryKind_ENTRY_KIND_READ_MARK), Key: key, Body: body, Rank: m.EventSeq,
		}, nil
	})
}

// Mark reads how far the user has read, from the database; nil where nothing is stored.
func (s *Store) Mark(ctx context.Context, userID, roomID, receiptType, threadID string) (*syncpb.ReadMark, error) {
	record, err := s.latest(ctx, userID, markKey(roomID, receiptType, threadID))
	if err != nil || record == nil {
		return nil, err
	}
	m := &syncpb.ReadMark{}
	if err := proto.Unmarshal(record.Body, m); err != nil {
		return nil, fmt.Errorf("read read mark: %w", err)
	}
	return m, nil
}

// PutFilter stores a filter and returns its id. Of a user who has as many as most already, none is stored:
// M_RESOURCE_LIMIT_EXCEEDED.
func (s *Store) PutFilter(ctx context.Context, userID string, filter []byte, most int) (string, error) {
	id := filterID(filter)
	stream, err := s.log.Stream(ctx, userID)
	if err != nil {
		return "", err
	}
	records, err := s.log.Latest(ctx, stream.ID, filterKey)
	if err != nil || exactly(records, filterKey+id) != nil {
		return id, err
	}
	if len(records) >= most {
		return "", matrix.Errorf(matrix.CodeResourceLimitExceeded, "You have %d filters already.", most)
	}
	return id, s.put(ctx, userID, eventlog.Entry{
		Kind: eventlog.Kind(syncpb.EntryKind_ENTRY_KIND_FILTER), Key: filterKey + id, Body: filter,
	})
}

// Filter reads a filter; nil where the user has none of this id.
func (s *Store) Filter(ctx context.Context, userID, id string) ([]byte, error) {
	record, err := s.latest(ctx, userID, filterKey+id)
	if err != nil || record == nil {
		return nil, err
	}
	return record.Body, nil
}

// Entries reads all account data and marks of a user.
func (s *Store) Entries(ctx context.Context, userID string) ([]eventlog.Record, error) {
	stream, ok, err := s.log.Lookup(ctx, userID)
	if err != nil || !ok {
		return nil, err
	}
	return s.log.Latest(ctx, stream.ID, shown)
}

// EntriesAfter reads the account data and marks of a user that are newer than a position of the user's shard.
func (s *Store) EntriesAfter(ctx context.Context, userID string, after int64) ([]eventlog.Record, error) {
	stream, ok, err := s.log.Lookup(ctx, userID)
	if err != nil || !ok {
		return nil, err
	}
	return s.log.LatestAfter(ctx, map[int64]int64{stream.ID: after})
}

func dataEntry(d *syncpb.AccountData) (eventlog.Entry, error) {
	body, err := proto.Marshal(d)
	if err != nil {
		return eventlog.Entry{}, fmt.Errorf("encode account data %q: %w", d.Type, err)
	}
	return eventlog.Entry{
		Kind: eventlog.Kind(syncpb.EntryKind_ENTRY_KIND_ACCOUNT_DATA), Key: dataKey(d.RoomId, d.Type), Body: body,
	}, nil
}

func (s *Store) put(ctx context.Context, userID string, entry eventlog.Entry) error {
	stream, err := s.log.Stream(ctx, userID)
	if err != nil {
		return err
	}
	_, err = s.log.Append(ctx, eventlog.Append{Stream: stream, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{entry}})
	return err
}

func (s *Store) latest(ctx context.Context, userID, key string) (*eventlog.Record, error) {
	stream, ok, err := s.log.Lookup(ctx, userID)
	if err != nil || !ok {
		return nil, err
	}
	return s.exact(ctx, stream.ID, key)
}

// exactly finds a key among those that begin with it.
func exactly(records []eventlog.Record, key string) *eventlog.Record {
	for i := range records {
		if records[i].Key == key {
			return &records[i]
		}
	}
	return nil
}

// Unavailable tells whether an error says that the database could not be reached.
func Unavailable(err error) bool {
	return errors.Is(err, eventlog.ErrUnavailable) || sqldb.IsConnectionLost(err)
}
