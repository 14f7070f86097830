package store

import (
	"context"
	"fmt"
)

// forgetAtOnce is how many transactions one statement deletes: on SQLite all other writes wait for it.
const forgetAtOnce = 500

// ForgetTxns deletes the transactions whose scope begins with prefix, which ends in "|", a few at a time.
func (s *Store) ForgetTxns(ctx context.Context, prefix string) error {
	end := prefix[:len(prefix)-1] + string(prefix[len(prefix)-1]+1)
	for {
		n, err := s.db.Exec(ctx, `
			DELETE FROM room_txn WHERE (scope, id) IN (
				SELECT scope, id FROM room_txn WHERE scope >= $1 AND scope < $2 LIMIT $3)`, prefix, end, forgetAtOnce)
		if err != nil {
			return fmt.Errorf("forget transactions: %w", err)
		}
		if n < forgetAtOnce {
			return nil
		}
	}
}
