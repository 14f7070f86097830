package store

import (
	"context"
	"fmt"

	"hongyan/platform/eventlog"
)

// Expire removes what has expired, and the oldest of the auth sessions beyond keep.
func (s *Store) Expire(ctx context.Context, nowMs int64, keep int) error {
	err := s.Exec(ctx,
		eventlog.Statement{SQL: `DELETE FROM uia_session WHERE expires_ms <= $1`, Args: []any{nowMs}},
		eventlog.Statement{SQL: `DELETE FROM login_token WHERE expires_ms <= $1`, Args: []any{nowMs}},
		eventlog.Statement{SQL: `DELETE FROM used_nonce WHERE expires_ms <= $1`, Args: []any{nowMs}},
		// All sessions live equally long: those that expire first are the oldest.
		eventlog.Statement{
			SQL: `DELETE FROM uia_session WHERE session_id IN (
				SELECT session_id FROM uia_session ORDER BY expires_ms DESC LIMIT 1000000 OFFSET $1)`,
			Args: []any{keep},
		},
	)
	if err != nil {
		return fmt.Errorf("remove what has expired: %w", err)
	}
	return nil
}
