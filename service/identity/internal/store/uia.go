package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// AuthSession is a row of the table uia_session.
type AuthSession struct {
	ID string
	// UserID is who began it; empty where nobody was authenticated.
	UserID string
	// Action is the method and path that it is for.
	Action string
	// Params is the hash of the request's parameters; nil until a stage is complete.
	Params []byte
	// Completed are the stages that were passed, in their order.
	Completed            []Stage
	CreatedMs, ExpiresMs int64
}

// Stage is a stage that was passed.
type Stage struct {
	Type string `json:"type"`
	// Value is what was proven: the user of a password, the registration token.
	Value string `json:"value,omitempty"`
	// PasswordVersion is the version of the password that was proven.
	PasswordVersion int64 `json:"password_version,omitempty"`
}

// AuthSession returns a session that has not expired.
func (s *Store) AuthSession(ctx context.Context, id string, nowMs int64) (AuthSession, bool, error) {
	a := AuthSession{ID: id}
	var completed string
	err := s.db.QueryRow(ctx, `SELECT user_id, action, params, completed, created_ms, expires_ms FROM uia_session
		WHERE session_id = $1 AND expires_ms > $2`, id, nowMs).
		Scan(&a.UserID, &a.Action, &a.Params, &completed, &a.CreatedMs, &a.ExpiresMs)
	if errors.Is(err, sqldb.ErrNoRows) {
		return AuthSession{}, false, nil
	}
	if err != nil {
		return AuthSession{}, false, fmt.Errorf("read auth session: %w", err)
	}
	if err := json.Unmarshal([]byte(completed), &a.Completed); err != nil {
		return AuthSession{}, false, fmt.Errorf("decode auth session: %w", err)
	}
	return a, true, nil
}

// AddAuthSession stores a new session, and drops a user's oldest ones beyond keep.
func (s *Store) AddAuthSession(ctx context.Context, a AuthSession, keep int) error {
	completed, err := json.Marshal(a.Completed)
	if err != nil {
		return fmt.Errorf("encode auth session: %w", err)
	}
	statements := []eventlog.Statement{{
		SQL: `INSERT INTO uia_session (session_id, user_id, action, params, completed, created_ms, expires_ms)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		Args: []any{a.ID, a.UserID, a.Action, a.Params, string(completed), a.CreatedMs, a.ExpiresMs},
	}}
	if a.UserID != "" {
		statements = append(statements, eventlog.Statement{
			SQL: `DELETE FROM uia_session WHERE user_id = $1 AND session_id NOT IN (
				SELECT session_id FROM uia_session WHERE user_id = $1 ORDER BY created_ms DESC, session_id LIMIT $2)`,
			Args: []any{a.UserID, keep},
		})
	}
	if err := s.Exec(ctx, statements...); err != nil {
		return fmt.Errorf("add auth session: %w", err)
	}
	return nil
}

// CompleteStage records that the stages so far were passed for a request with these parameters.
func (s *Store) CompleteStage(ctx context.Context, id string, params []byte, stages []Stage) error {
	completed, err := json.Marshal(stages)
	if err != nil {
		return fmt.Errorf("encode auth session: %w", err)
	}
	_, err = s.db.Exec(ctx, `UPDATE uia_session SET params = $2, completed = $3 WHERE session_id = $1`,
		id, params, string(completed))
	if err != nil {
		return fmt.Errorf("complete stage: %w", err)
	}
	return nil
}

// TakeAuthSession ends a session. It reports whether the session was there: of several at once one finds it.
func (s *Store) TakeAuthSession(ctx context.Context, id string) (bool, error) {
	n, err := s.db.Exec(ctx, `DELETE FROM uia_session WHERE session_id = $1`, id)
	if err != nil {
		return false, fmt.Errorf("take auth session: %w", err)
	}
	return n > 0, nil
}

// DeleteAuthSessionsOf ends all sessions of a user.
func DeleteAuthSessionsOf(userID string) eventlog.Statement {
	return eventlog.Statement{SQL: `DELETE FROM uia_session WHERE user_id = $1`, Args: []any{userID}}
}
