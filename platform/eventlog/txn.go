package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/sqldb"
)

const (
	// expireInterval is how often transaction ids that have expired are removed.
	expireInterval = time.Minute
	// expireAtOnce is how many one statement removes: on SQLite all other writes wait for it.
	expireAtOnce = 500
)

// Txn is a client's transaction id with the answer that it got.
type Txn struct {
	// Scope names who and where: user, device, method and path.
	Scope string
	ID    string
	// Response is what a repeat is answered.
	Response []byte
	// Keep is how long the id is remembered once it is written; 0 is for ever.
	Keep time.Duration
}

// ExpiresMs is when an id that is written now may be forgotten, in Unix milliseconds, as the table has it: 0 is never.
func (t *Txn) ExpiresMs() int64 {
	if t.Keep <= 0 {
		return 0
	}
	return time.Now().Add(t.Keep).UnixMilli()
}

// Txn returns what a transaction id was answered, if it was used.
func (l *Log) Txn(ctx context.Context, scope, id string) ([]byte, bool, error) {
	response := []byte{}
	err := l.db.QueryRow(ctx, l.sql.txn, scope, id).Scan(&response)
	if errors.Is(err, sqldb.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("look up transaction: %w", err)
	}
	return response, true, nil
}

// PutTxn notes a transaction id of what had nothing to append. One that was used before stays what it was.
func (l *Log) PutTxn(ctx context.Context, t Txn) error { return l.PutTxns(ctx, t, []string{t.Scope}) }

// PutTxns is PutTxn in several scopes, at once. That of the transaction is none of them, unless it is named.
func (l *Log) PutTxns(ctx context.Context, t Txn, scopes []string) error {
	if len(scopes) == 0 {
		return nil
	}
	if _, err := l.db.Exec(ctx, l.sql.putTxns, scopes, t.ID, notNil(t.Response), t.ExpiresMs()); err != nil {
		return fmt.Errorf("note transaction: %w", err)
	}
	return nil
}

// ForgetTxns removes the transaction ids of all scopes that begin with prefix, which ends in an ASCII character, a few at once.
func (l *Log) ForgetTxns(ctx context.Context, prefix string) error {
	last := len(prefix) - 1
	if last < 0 || prefix[last] >= utf8.RuneSelf-1 {
		return fmt.Errorf("forget transactions: no prefix: %q", prefix)
	}
	end := AfterPrefix(prefix)
	for {
		n, err := l.db.Exec(ctx, l.sql.forgetTxns, prefix, end, expireAtOnce)
		if err != nil {
			return fmt.Errorf("forget transactions: %w", err)
		}
		if n < expireAtOnce {
			return nil
		}
	}
}

// ExpireTxns removes the transaction ids that may be forgotten at a time, a few at once. Run does it every minute.
func (l *Log) ExpireTxns(ctx context.Context, now time.Time) error {
	for {
		n, err := l.db.Exec(ctx, l.sql.expireTxns, now.UnixMilli(), expireAtOnce)
		if err != nil {
			return fmt.Errorf("expire transactions of log %s: %w", l.schema.Name, err)
		}
		if n < expireAtOnce {
			return nil
		}
	}
}

// expireAll removes transaction ids until ctx ends. A failure is logged: the next time does what this one did not.
func (l *Log) expireAll(ctx context.Context) {
	ticker := time.NewTicker(expireInterval)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			if err := l.ExpireTxns(ctx, now); err != nil && ctx.Err() == nil {
				logx.WithContext(ctx).Errorf("eventlog: %v", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
