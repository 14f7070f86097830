package store

import (
	"context"
	"fmt"
)

// SigningKey returns the key that the server signs events with, as event.SigningKey's Marshal writes it. Where there is
// none yet, it is the offered one from now on: of several instances that offer keys at once the first wins.
//
// The key is in the database, in clear, and so in every backup of it: whoever reads one can sign in the server's name.
// A server that is restored keeps its identity.
func (s *Store) SigningKey(ctx context.Context, offered []byte) ([]byte, error) {
	_, err := s.db.Exec(ctx, `INSERT INTO signing_key (one, secret) VALUES (1, $1) ON CONFLICT (one) DO NOTHING`, string(offered))
	if err != nil {
		return nil, fmt.Errorf("keep the signing key: %w", err)
	}
	var kept string
	if err := s.db.QueryRow(ctx, `SELECT secret FROM signing_key WHERE one = 1`).Scan(&kept); err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	return []byte(kept), nil
}
