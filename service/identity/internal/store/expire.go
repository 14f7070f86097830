package store

import (
	"context"
	"fmt"

	"hongyan/platform/eventlog"
)

// Keep bounds what is kept.
type Keep struct{ AuthSessions, LoginFailures int }

// Expire removes what has expired, and of the auth sessions and failures beyond keep those that would expire first.
func (s *Store) Expire(ctx context.Context, nowMs int64, keep Keep) error {
	err := s.Exec(ctx,
		eventlog.Statement{SQL: `DELETE FROM uia_session WHERE expires_ms <= $1`, Args: []any{nowMs}},
		eventlog.Statement{SQL: `DELETE FROM login_token WHERE expires_ms <= $1`, Args: []any{nowMs}},
		eventlog.Statement{SQL: `DELETE FROM used_nonce WHERE expires_ms <= $1`, Args: []any{nowMs}},
		// All sessions live equally long: those that expire first are the oldest.
		eventlog.Statement{
			SQL: `DELETE FROM uia_session WHERE session_id IN (
				SELECT session_id FROM uia_session ORDER BY expires_ms DESC LIMIT 1000000 OFFSET $1)`,
			Args: []any{keep.AuthSessions},
		},
		eventlog.Statement{SQL: `DELETE FROM login_failure WHERE full_ms <= $1`, Args: []any{nowMs}},
		eventlog.Statement{
			SQL: `DELETE FROM login_failure WHERE key IN (
				SELECT key FROM login_failure ORDER BY full_ms DESC LIMIT 1000000 OFFSET $1)`,
			Args: []any{keep.LoginFailures},
		},
	)
	if err != nil {
		return fmt.Errorf("remove what has expired: %w", err)
	}
	return nil
}
