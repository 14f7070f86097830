package userlog

import (
	"context"
	"errors"
	"fmt"

	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// Limits bound the account data of one user. Tags and push rules are account data too.
type Limits struct {
	// Entries is how many pieces a user may have, of all rooms together; Global how many that are of no room.
	Entries, Global int
	// Bytes is how large they may be in all.
	Bytes int64
}

// globalPrefix is what the keys of global account data begin with.
var globalPrefix = roomPrefix(dataPrefix, "")

// fits refuses an entry for which a user has no space: M_RESOURCE_LIMIT_EXCEEDED where there are too many,
// M_TOO_LARGE where they are too large together. What takes no more space than before always fits.
func (s *Store) fits(ctx context.Context, stream int64, entry *eventlog.Entry, old *eventlog.Record) error {
	if old != nil && len(entry.Body) <= len(old.Body) {
		return nil
	}
	// length looks at no bodies: both databases keep it beside them.
	var entries, global, size int64
	err := s.log.DB().QueryRow(ctx, `SELECT count(*), count(CASE WHEN key >= $4 AND key < $5 THEN 1 END),
			CAST(COALESCE(sum(length(body)), 0) AS BIGINT)
		FROM sync_latest WHERE stream = $1 AND key >= $2 AND key < $3`,
		stream, dataPrefix, eventlog.AfterPrefix(dataPrefix), globalPrefix, eventlog.AfterPrefix(globalPrefix)).Scan(&entries, &global, &size)
	if err != nil {
		return fmt.Errorf("measure account data: %w", err)
	}
	size += int64(len(entry.Body))
	if old != nil {
		size -= int64(len(old.Body))
	}
	isGlobal := entry.Key >= globalPrefix && entry.Key < eventlog.AfterPrefix(globalPrefix)
	switch {
	case old == nil && entries >= int64(s.limits.Entries):
		return matrix.Errorf(matrix.CodeResourceLimitExceeded, "You have %d pieces of account data already.", s.limits.Entries)
	case old == nil && isGlobal && global >= int64(s.limits.Global):
		return matrix.Errorf(matrix.CodeResourceLimitExceeded, "You have %d pieces of global account data already.", s.limits.Global)
	case size > s.limits.Bytes:
		return matrix.Errorf(matrix.CodeTooLarge, "Your account data would be larger than %d bytes.", s.limits.Bytes)
	}
	return nil
}

// exact reads the latest entry of a key, not those of all keys that begin with it, which may be many; nil where there is
// none. Of the record only Position and Body are filled in.
func (s *Store) exact(ctx context.Context, stream int64, key string) (*eventlog.Record, error) {
	r := &eventlog.Record{Stream: stream, Key: key}
	err := s.log.DB().QueryRow(ctx, `SELECT position, body FROM sync_latest WHERE stream = $1 AND key = $2`, stream, key).
		Scan(&r.Position, &r.Body)
	if errors.Is(err, sqldb.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the latest entry: %w", err)
	}
	return r, nil
}
