package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// Account is a row of the table account.
type Account struct {
	UserID string
	// Version grows with each change of what belongs to the account, ProfileVersion with each of its profile.
	Version, ProfileVersion int64
	// Password is a PHC string, or empty.
	Password string
	// PasswordVersion tells passwords apart; hashing one anew does not change it.
	PasswordVersion                 int64
	Admin, Guest, Locked, Suspended bool
	CreatedMs, DeactivatedMs        int64
	Erased                          bool
}

// Deactivated reports whether the account was given up; its name is never given again.
func (a Account) Deactivated() bool { return a.DeactivatedMs != 0 }

const accountColumns = `user_id, version, profile_version, password, admin, guest, locked, suspended,
	created_ms, deactivated_ms, erased, password_version`

func scanAccount(row interface{ Scan(...any) error }) (Account, error) {
	var a Account
	err := row.Scan(&a.UserID, &a.Version, &a.ProfileVersion, &a.Password, &a.Admin, &a.Guest, &a.Locked, &a.Suspended,
		&a.CreatedMs, &a.DeactivatedMs, &a.Erased, &a.PasswordVersion)
	return a, err
}

// Account returns an account, deactivated ones too.
func (s *Store) Account(ctx context.Context, userID string) (Account, bool, error) {
	a, err := scanAccount(s.db.QueryRow(ctx, `SELECT `+accountColumns+` FROM account WHERE user_id = $1`, userID))
	if errors.Is(err, sqldb.ErrNoRows) {
		return Account{}, false, nil
	}
	if err != nil {
		return Account{}, false, fmt.Errorf("read account %s: %w", userID, err)
	}
	return a, true, nil
}

// Accounts returns those of the accounts that exist.
func (s *Store) Accounts(ctx context.Context, userIDs []string) ([]Account, error) {
	all, err := collect(ctx, s.db, func(r sqldb.Rows) (Account, error) { return scanAccount(r) },
		`SELECT `+accountColumns+` FROM account
		WHERE user_id = ANY($1)                            -- postgres
		WHERE user_id IN (SELECT value FROM json_each($1)) -- sqlite`, userIDs)
	if err != nil {
		return nil, fmt.Errorf("read accounts: %w", err)
	}
	return all, nil
}

// AccountInfo is an account as the list of accounts shows it.
type AccountInfo struct {
	Account
	Devices int64
}

// ListAccounts returns the accounts after a user id, in their order.
func (s *Store) ListAccounts(ctx context.Context, after string, limit int) ([]AccountInfo, error) {
	all, err := collect(ctx, s.db, func(r sqldb.Rows) (AccountInfo, error) {
		var i AccountInfo
		err := r.Scan(&i.UserID, &i.Admin, &i.Guest, &i.Locked, &i.Suspended, &i.CreatedMs, &i.DeactivatedMs, &i.Devices)
		return i, err
	}, `SELECT a.user_id, a.admin, a.guest, a.locked, a.suspended, a.created_ms, a.deactivated_ms,
			(SELECT count(*) FROM device d WHERE d.user_id = a.user_id)
		FROM account a WHERE a.user_id > $1 ORDER BY a.user_id LIMIT $2`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return all, nil
}

// InsertAccount makes an account. It conflicts when the name was given before.
func InsertAccount(a Account) eventlog.Statement {
	return eventlog.Statement{
		SQL: `INSERT INTO account (` + accountColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
			ON CONFLICT (user_id) DO NOTHING`,
		Args: []any{a.UserID, a.Version, a.ProfileVersion, a.Password, a.Admin, a.Guest, a.Locked,
			a.Suspended, a.CreatedMs, a.DeactivatedMs, a.Erased, a.PasswordVersion},
		Want: 1,
	}
}

// SwapVersion is the first statement of every change: it conflicts when the account has changed since it was read, and it
// locks the account's row until the change is committed.
func SwapVersion(userID string, version int64) eventlog.Statement {
	return eventlog.Statement{
		SQL:  `UPDATE account SET version = version + 1 WHERE user_id = $1 AND version = $2`,
		Args: []any{userID, version}, Want: 1,
	}
}

// BumpVersion is SwapVersion for a change that depends on nothing that was read.
func BumpVersion(userID string) eventlog.Statement {
	return eventlog.Statement{SQL: `UPDATE account SET version = version + 1 WHERE user_id = $1`, Args: []any{userID}, Want: 1}
}

// SetPassword replaces the password: what was proven with the old one holds no longer.
func SetPassword(userID, phc string) eventlog.Statement {
	return eventlog.Statement{
		SQL:  `UPDATE account SET password = $2, password_version = password_version + 1 WHERE user_id = $1`,
		Args: []any{userID, phc}, Want: 1,
	}
}

// EndGuest makes a guest a user with a password.
func EndGuest(userID, phc string) eventlog.Statement {
	return eventlog.Statement{
		SQL: `UPDATE account SET guest = FALSE, password = $2, password_version = password_version + 1
			WHERE user_id = $1 AND guest`,
		Args: []any{userID, phc}, Want: 1,
	}
}

// SetHash replaces the password's hash by another one of the same password.
func SetHash(userID, phc string) eventlog.Statement {
	return eventlog.Statement{SQL: `UPDATE account SET password = $2 WHERE user_id = $1`, Args: []any{userID, phc}, Want: 1}
}

// SetStatus locks, suspends and releases an account.
func SetStatus(userID string, locked, suspended bool) eventlog.Statement {
	return eventlog.Statement{
		SQL:  `UPDATE account SET locked = $2, suspended = $3 WHERE user_id = $1`,
		Args: []any{userID, locked, suspended}, Want: 1,
	}
}

// Deactivate marks an account as given up and forgets its password.
func Deactivate(userID string, nowMs int64, erase bool) eventlog.Statement {
	return eventlog.Statement{
		SQL: `UPDATE account SET deactivated_ms = $2, erased = $3, password = '', admin = FALSE
			WHERE user_id = $1 AND deactivated_ms = 0`,
		Args: []any{userID, nowMs, erase}, Want: 1,
	}
}

// SomeUser returns the user id of any account, or sqldb.ErrNoRows.
func SomeUser(ctx context.Context, q sqldb.Querier) (userID string, err error) {
	err = q.QueryRow(ctx, `SELECT user_id FROM account LIMIT 1`).Scan(&userID)
	if err != nil && !errors.Is(err, sqldb.ErrNoRows) {
		err = fmt.Errorf("read an account: %w", err)
	}
	return userID, err
}
