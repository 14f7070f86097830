package eventlog

import (
	"context"
	"fmt"
)

// Trim bounds the latest-wins entries of a stream whose keys begin with a prefix, where clients can make ever new ones: once
// they are an eighth more than keep, those of the least rank are removed but for keep. keyPrefix ends before the last character
// there is. Followers are not told.
func (l *Log) Trim(ctx context.Context, stream int64, keyPrefix string, keep int) error {
	end, count := AfterPrefix(keyPrefix), 0
	if err := l.db.QueryRow(ctx, l.sql.countLatest, stream, keyPrefix, end).Scan(&count); err != nil {
		return fmt.Errorf("count latest records of stream %d: %w", stream, err)
	}
	if count <= keep+keep/8 {
		return nil
	}
	if _, err := l.db.Exec(ctx, l.sql.trimLatest, stream, keyPrefix, end, keep); err != nil {
		return fmt.Errorf("trim latest records of stream %d: %w", stream, err)
	}
	return nil
}
