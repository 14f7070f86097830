package identity

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	gatewaypb "hongyan/api/gateway"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/once"
	"hongyan/service/identity/internal/store"
)

// change is what a use case does to one account.
type change struct {
	statements []eventlog.Statement
	entries    []eventlog.Entry
	// forget, where set, names the devices whose tokens gateways must forget before the request is answered; empty
	// means all of the user's.
	forget *[]string
}

func (c *change) do(statements ...eventlog.Statement) {
	c.statements = append(c.statements, statements...)
}

// maxAttempts bounds how often a change is decided anew because another change of the same account was faster.
const maxAttempts = 64

// change lets decide look at an account and commits what it decides, if the account is still what it was; otherwise
// it decides again. decide may read the account's other rows too: they only change with the account's version. It
// returns nil where nothing is to be done. An account that does not exist is 404, a deactivated one M_USER_DEACTIVATED.
func (s *Service) change(ctx context.Context, userID string, decide decision) error {
	return s.changeOnce(ctx, userID, eventlog.Txn{}, decide)
}

// decision is what a use case makes of an account: see change.
type decision func(context.Context, store.Account) (*change, error)

// changeOnce is change that happens once for its transaction, where it has one. What decide decides then has log entries.
func (s *Service) changeOnce(ctx context.Context, userID string, txn eventlog.Txn, decide decision) error {
	for attempt := range maxAttempts {
		account, ok, err := s.store.Account(ctx, userID)
		if err != nil {
			return err
		}
		if !ok {
			return matrix.NewError(matrix.CodeNotFound, "There is no such user.")
		}
		if account.Deactivated() {
			return matrix.NewError(matrix.CodeUserDeactivated, "This account has been deactivated.")
		}
		c, err := decide(ctx, account)
		if err != nil {
			return once.Settle(ctx, s.log, txn, err)
		}
		if c == nil {
			return once.Unchanged(ctx, s.log, txn)
		}
		statements := append([]eventlog.Statement{store.SwapVersion(userID, account.Version)}, c.statements...)
		err = once.Settle(ctx, s.log, txn, s.commit(ctx, userID, txn, statements, c.entries))
		if err == nil {
			if c.forget != nil {
				s.forget(ctx, userID, *c.forget)
			}
			return nil
		}
		if !errors.Is(err, eventlog.ErrConflict) {
			return err
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
	return matrix.Unavailable(fmt.Errorf("change account %s: %w", userID, eventlog.ErrConflict))
}

// commit writes statements and the log entries that tell of them, as a whole.
func (s *Service) commit(ctx context.Context, userID string, txn eventlog.Txn, statements []eventlog.Statement, entries []eventlog.Entry) error {
	var err error
	if len(entries) == 0 {
		err = s.store.Exec(ctx, statements...)
	} else {
		var stream eventlog.Stream
		if stream, err = s.log.Stream(ctx, userID); err != nil {
			return err
		}
		_, err = s.log.Append(ctx, eventlog.Append{
			Stream: stream, Expect: eventlog.AnySeq, Entries: entries, Statements: statements, Txns: once.Txns(txn),
		})
	}
	if err != nil {
		return fmt.Errorf("commit change of %s: %w", userID, err)
	}
	return nil
}

// pause waits a little, longer after more attempts, so that those who compete do not meet again.
func pause(ctx context.Context, attempt int) error {
	limit := time.Millisecond << min(attempt, 5)
	timer := time.NewTimer(rand.N(limit))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// forget makes the gateways forget the tokens of devices that have lost them. It returns when every gateway has
// confirmed, or when what gateways knew before is too old for them to use: one may be out of reach, or this process may
// not have heard of any yet. The change is committed: a client that goes away meanwhile changes nothing.
func (s *Service) forget(ctx context.Context, userID string, deviceIDs []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.ForgetTimeout)
	defer cancel()
	err := s.deps.Gateways.ForgetTokens(ctx, &gatewaypb.ForgetTokensRequest{UserId: userID, DeviceIds: deviceIDs})
	if err != nil {
		logx.WithContext(ctx).Errorf("a gateway did not confirm that it forgot tokens of %s: %v", userID, err)
		<-ctx.Done()
	}
}
