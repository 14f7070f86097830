package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// LoginTokenUser returns whose login token it is, unless it is expired or was used.
func (s *Store) LoginTokenUser(ctx context.Context, hash []byte, nowMs int64) (userID string, ok bool, err error) {
	err = s.db.QueryRow(ctx, `SELECT user_id FROM login_token WHERE hash = $1 AND expires_ms > $2`, hash, nowMs).Scan(&userID)
	if errors.Is(err, sqldb.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("look up login token: %w", err)
	}
	return userID, true, nil
}

// InsertLoginToken adds a login token, and drops the user's oldest ones beyond keep.
func InsertLoginToken(userID string, hash []byte, nowMs, expiresMs int64, keep int) []eventlog.Statement {
	return []eventlog.Statement{
		{
			SQL:  `INSERT INTO login_token (hash, user_id, created_ms, expires_ms) VALUES ($1, $2, $3, $4)`,
			Args: []any{hash, userID, nowMs, expiresMs},
		},
		{
			SQL: `DELETE FROM login_token WHERE user_id = $1 AND hash NOT IN (
				SELECT hash FROM login_token WHERE user_id = $1 ORDER BY created_ms DESC, hash LIMIT $2)`,
			Args: []any{userID, keep},
		},
	}
}

// UseLoginToken takes a login token. It conflicts when it was taken before.
func UseLoginToken(hash []byte) eventlog.Statement {
	return eventlog.Statement{SQL: `DELETE FROM login_token WHERE hash = $1`, Args: []any{hash}, Want: 1}
}

// DeleteLoginTokensOf removes all login tokens of a user.
func DeleteLoginTokensOf(userID string) eventlog.Statement {
	return eventlog.Statement{SQL: `DELETE FROM login_token WHERE user_id = $1`, Args: []any{userID}}
}
