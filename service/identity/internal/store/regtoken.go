package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// RegistrationToken is a row of the table registration_token.
type RegistrationToken struct {
	Token string
	// UsesAllowed is nil where the number of uses is not limited.
	UsesAllowed *int64
	Uses        int64
	CreatedMs   int64
	// ExpiresMs is 0 for never.
	ExpiresMs int64
}

// Valid reports whether the token may be used at that time.
func (t RegistrationToken) Valid(nowMs int64) bool {
	return (t.UsesAllowed == nil || t.Uses < *t.UsesAllowed) && (t.ExpiresMs == 0 || nowMs < t.ExpiresMs)
}

const registrationTokenColumns = `token, uses_allowed, uses, created_ms, expires_ms`

func scanRegistrationToken(row interface{ Scan(...any) error }) (RegistrationToken, error) {
	var t RegistrationToken
	err := row.Scan(&t.Token, &t.UsesAllowed, &t.Uses, &t.CreatedMs, &t.ExpiresMs)
	return t, err
}

// RegistrationToken returns a token, valid or not.
func (s *Store) RegistrationToken(ctx context.Context, token string) (RegistrationToken, bool, error) {
	t, err := scanRegistrationToken(s.db.QueryRow(ctx,
		`SELECT `+registrationTokenColumns+` FROM registration_token WHERE token = $1`, token))
	if errors.Is(err, sqldb.ErrNoRows) {
		return RegistrationToken{}, false, nil
	}
	if err != nil {
		return RegistrationToken{}, false, fmt.Errorf("look up registration token: %w", err)
	}
	return t, true, nil
}

// RegistrationTokens returns all tokens after one, in their order.
func (s *Store) RegistrationTokens(ctx context.Context, after string, limit int) ([]RegistrationToken, error) {
	all, err := collect(ctx, s.db, func(r sqldb.Rows) (RegistrationToken, error) { return scanRegistrationToken(r) },
		`SELECT `+registrationTokenColumns+` FROM registration_token WHERE token > $1 ORDER BY token LIMIT $2`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list registration tokens: %w", err)
	}
	return all, nil
}

// AddRegistrationToken stores a token. It reports false when there is one of that name.
func (s *Store) AddRegistrationToken(ctx context.Context, t RegistrationToken) (bool, error) {
	n, err := s.db.Exec(ctx, `INSERT INTO registration_token (`+registrationTokenColumns+`) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (token) DO NOTHING`, t.Token, t.UsesAllowed, t.Uses, t.CreatedMs, t.ExpiresMs)
	if err != nil {
		return false, fmt.Errorf("add registration token: %w", err)
	}
	return n == 1, nil
}

// DeleteRegistrationToken reports whether there was one.
func (s *Store) DeleteRegistrationToken(ctx context.Context, token string) (bool, error) {
	n, err := s.db.Exec(ctx, `DELETE FROM registration_token WHERE token = $1`, token)
	if err != nil {
		return false, fmt.Errorf("delete registration token: %w", err)
	}
	return n == 1, nil
}

// UseRegistrationToken counts a use. It conflicts when the token may not be used any more.
func UseRegistrationToken(token string, nowMs int64) eventlog.Statement {
	return eventlog.Statement{
		SQL: `UPDATE registration_token SET uses = uses + 1 WHERE token = $1
			AND (uses_allowed IS NULL OR uses < uses_allowed) AND (expires_ms = 0 OR expires_ms > $2)`,
		Args: []any{token, nowMs}, Want: 1,
	}
}
