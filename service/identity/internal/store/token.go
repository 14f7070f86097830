package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// Token is a row of the table token: an access token with the refresh token that was issued with it.
type Token struct {
	ID, UserID, DeviceID string
	// AccessHash and RefreshHash are SHA-256; RefreshHash is nil where there is no refresh token.
	AccessHash, RefreshHash []byte
	// ExpiresMs and RefreshExpiresMs are 0 for never.
	CreatedMs, ExpiresMs, RefreshExpiresMs int64
	// Parent is the id of the pair that ends when this one is first used; empty when that has happened.
	Parent  string
	Revoked bool
	// Seed made the pair of its parent's refresh token; nil once the pair is in use.
	Seed []byte
}

const tokenColumns = `token_id, user_id, device_id, access_hash, refresh_hash, created_ms, expires_ms,
	refresh_expires_ms, parent, revoked, seed`

// Access is what an access token stands for.
type Access struct {
	Token
	Admin, Guest, Locked, Suspended bool
}

// ByAccessHash returns the pair and the account of an access token.
func (s *Store) ByAccessHash(ctx context.Context, hash []byte) (Access, bool, error) {
	var a Access
	err := s.db.QueryRow(ctx, `SELECT t.token_id, t.user_id, t.device_id, t.created_ms, t.expires_ms, t.parent, t.revoked,
			a.admin, a.guest, a.locked, a.suspended
		FROM token t JOIN account a ON a.user_id = t.user_id WHERE t.access_hash = $1`, hash).
		Scan(&a.ID, &a.UserID, &a.DeviceID, &a.CreatedMs, &a.ExpiresMs, &a.Parent, &a.Revoked,
			&a.Admin, &a.Guest, &a.Locked, &a.Suspended)
	if errors.Is(err, sqldb.ErrNoRows) {
		return Access{}, false, nil
	}
	if err != nil {
		return Access{}, false, fmt.Errorf("look up access token: %w", err)
	}
	return a, true, nil
}

func scanToken(row interface{ Scan(...any) error }) (Token, error) {
	var t Token
	err := row.Scan(&t.ID, &t.UserID, &t.DeviceID, &t.AccessHash, &t.RefreshHash, &t.CreatedMs, &t.ExpiresMs,
		&t.RefreshExpiresMs, &t.Parent, &t.Revoked, &t.Seed)
	return t, err
}

// NewestChild returns the newest of the pairs that wait to replace parent.
func (s *Store) NewestChild(ctx context.Context, parent Token) (Token, bool, error) {
	t, err := scanToken(s.db.QueryRow(ctx, `SELECT `+tokenColumns+` FROM token
		WHERE user_id = $1 AND device_id = $2 AND parent = $3 AND NOT revoked ORDER BY created_ms DESC, token_id LIMIT 1`,
		parent.UserID, parent.DeviceID, parent.ID))
	if errors.Is(err, sqldb.ErrNoRows) {
		return Token{}, false, nil
	}
	if err != nil {
		return Token{}, false, fmt.Errorf("look up the next pair of tokens: %w", err)
	}
	return t, true, nil
}

// ByRefreshHash returns the pair of a refresh token.
func (s *Store) ByRefreshHash(ctx context.Context, hash []byte) (Token, bool, error) {
	t, err := scanToken(s.db.QueryRow(ctx, `SELECT `+tokenColumns+` FROM token WHERE refresh_hash = $1`, hash))
	if errors.Is(err, sqldb.ErrNoRows) {
		return Token{}, false, nil
	}
	if err != nil {
		return Token{}, false, fmt.Errorf("look up refresh token: %w", err)
	}
	return t, true, nil
}

// InsertToken adds a pair.
func InsertToken(t Token) eventlog.Statement {
	var refresh, seed any
	if t.RefreshHash != nil {
		refresh = t.RefreshHash
	}
	if t.Seed != nil {
		seed = t.Seed
	}
	return eventlog.Statement{
		SQL: `INSERT INTO token (` + tokenColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		Args: []any{t.ID, t.UserID, t.DeviceID, t.AccessHash, refresh, t.CreatedMs, t.ExpiresMs, t.RefreshExpiresMs,
			t.Parent, t.Revoked, seed},
		Want: 1,
	}
}

// DeleteDeviceTokens removes all pairs of a device.
func DeleteDeviceTokens(userID, deviceID string) eventlog.Statement {
	return eventlog.Statement{SQL: `DELETE FROM token WHERE user_id = $1 AND device_id = $2`, Args: []any{userID, deviceID}}
}

// Promote says that a pair with a parent is in use: its parent and the parent's other children are revoked, and what
// was revoked before them is forgotten. It conflicts when that was said before, or the pair was revoked.
func Promote(t Token) []eventlog.Statement {
	return []eventlog.Statement{
		{
			SQL:  `UPDATE token SET parent = '', seed = NULL WHERE token_id = $1 AND parent = $2 AND NOT revoked`,
			Args: []any{t.ID, t.Parent}, Want: 1,
		},
		{
			SQL:  `DELETE FROM token WHERE user_id = $1 AND device_id = $2 AND revoked`,
			Args: []any{t.UserID, t.DeviceID},
		},
		{
			SQL:  `UPDATE token SET revoked = TRUE WHERE user_id = $1 AND device_id = $2 AND (token_id = $3 OR parent = $3)`,
			Args: []any{t.UserID, t.DeviceID, t.Parent},
		},
	}
}

// TrimChildren removes all but the newest keep pairs that wait to replace parent.
func TrimChildren(userID, deviceID, parent string, keep int) eventlog.Statement {
	return eventlog.Statement{
		SQL: `DELETE FROM token WHERE user_id = $1 AND device_id = $2 AND parent = $3 AND token_id NOT IN (
			SELECT token_id FROM token WHERE user_id = $1 AND device_id = $2 AND parent = $3
			ORDER BY created_ms DESC, token_id LIMIT $4)`,
		Args: []any{userID, deviceID, parent, keep},
	}
}
