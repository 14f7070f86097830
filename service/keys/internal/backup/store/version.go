package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/sqldb"
)

// Version is a backup.
type Version struct {
	// Number is what clients call it, as text.
	Number    int64
	Algorithm string
	// AuthData is a JSON object.
	AuthData string
	State
	keyset, bytes int64
}

// State says what is in a version: how many keys, and another ETag after each change of them.
type State struct{ Count, ETag int64 }

// Limits bound what a user may have, in all versions together.
type Limits struct {
	Versions, Keys int
	// Bytes is how long the session_data of the keys may be.
	Bytes int64
}

const versionSQL = `SELECT version, algorithm, auth_data, keyset, key_count, key_bytes, etag FROM backup_version WHERE user_id = $1`

// Current returns the user's newest version: the one that keys are stored in. The error is ErrNotFound where there is none.
func (s *Store) Current(ctx context.Context, userID string) (Version, error) {
	return current(ctx, s.db, userID)
}

// Version returns one of the user's versions, or ErrNotFound.
func (s *Store) Version(ctx context.Context, userID string, number int64) (Version, error) {
	return version(ctx, s.db, userID, number)
}

func current(ctx context.Context, q sqldb.Querier, userID string) (Version, error) {
	return scanVersion(q.QueryRow(ctx, versionSQL+` ORDER BY version DESC LIMIT 1`, userID))
}

func version(ctx context.Context, q sqldb.Querier, userID string, number int64) (Version, error) {
	return scanVersion(q.QueryRow(ctx, versionSQL+` AND version = $2`, userID, number))
}

func scanVersion(row sqldb.Row) (Version, error) {
	var v Version
	err := row.Scan(&v.Number, &v.Algorithm, &v.AuthData, &v.keyset, &v.Count, &v.bytes, &v.ETag)
	switch {
	case errors.Is(err, sqldb.ErrNoRows):
		return Version{}, ErrNotFound
	case err != nil:
		return Version{}, fmt.Errorf("read backup version: %w", err)
	}
	return v, nil
}

// Create makes a version, the newest, and returns its number. A request that has made one already, told by its key where
// that is not "", is answered that one. The error is ErrFull for a user who has as many versions as may be.
func (s *Store) Create(ctx context.Context, userID, algorithm, authData, request string, limits Limits) (number int64, err error) {
	err = s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		number, err = create(ctx, tx, userID, algorithm, authData, request, limits)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("create backup version: %w", err)
	}
	return number, nil
}

func create(ctx context.Context, tx sqldb.Tx, userID, algorithm, authData, request string, limits Limits) (int64, error) {
	// The row is locked, whether it is new or was there.
	_, err := tx.Exec(ctx, `INSERT INTO backup_owner (user_id, last_version, last_keyset) VALUES ($1, 0, 0)
		ON CONFLICT (user_id) DO UPDATE SET last_version = backup_owner.last_version`, userID)
	if err != nil {
		return 0, err
	}
	var have, made int64
	err = tx.QueryRow(ctx, `SELECT count(*), COALESCE(max(CASE WHEN request = $2 AND request <> '' THEN version END), 0)
		FROM backup_version WHERE user_id = $1`, userID, request).Scan(&have, &made)
	switch {
	case err != nil:
		return 0, err
	case made > 0:
		return made, nil
	case have >= int64(limits.Versions):
		return 0, ErrFull
	}
	err = execAll(ctx, tx, []any{userID}, `UPDATE backup_owner SET last_version = last_version + 1, last_keyset = last_keyset + 1
		WHERE user_id = $1`)
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO backup_version
			(user_id, version, algorithm, auth_data, request, keyset, key_count, key_bytes, etag)
		SELECT user_id, last_version, CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), last_keyset, 0, 0, 0
		FROM backup_owner WHERE user_id = $1`, userID, algorithm, authData, request)
	if err != nil {
		return 0, err
	}
	return lock(ctx, tx, userID)
}

// Update replaces the auth_data of a version. The error is ErrNotFound where there is none of this number and algorithm.
func (s *Store) Update(ctx context.Context, userID string, number int64, algorithm, authData string) error {
	n, err := s.db.Exec(ctx, `UPDATE backup_version SET auth_data = $4 WHERE user_id = $1 AND version = $2 AND algorithm = $3`,
		userID, number, algorithm, authData)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("update backup version: %w", err)
	}
	return nil
}

// Delete removes a version with its keys. It also succeeds when that has happened already; the error is ErrNotFound for a
// version that never was.
func (s *Store) Delete(ctx context.Context, userID string, number int64) error {
	err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		last, err := lock(ctx, tx, userID)
		if err != nil {
			return err
		}
		if number < 1 || number > last {
			return ErrNotFound
		}
		return execAll(ctx, tx, []any{userID, number},
			`INSERT INTO backup_dropped (user_id, keyset)
				SELECT user_id, keyset FROM backup_version WHERE user_id = $1 AND version = $2`,
			`DELETE FROM backup_version WHERE user_id = $1 AND version = $2`)
	})
	if err != nil {
		return fmt.Errorf("delete backup version: %w", err)
	}
	return nil
}

// DeleteUser removes all versions of a user with their keys. What stays is how far versions were numbered.
func (s *Store) DeleteUser(ctx context.Context, userID string) error {
	err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		if _, err := lock(ctx, tx, userID); err != nil {
			return err
		}
		return execAll(ctx, tx, []any{userID},
			`INSERT INTO backup_dropped (user_id, keyset) SELECT user_id, keyset FROM backup_version WHERE user_id = $1`,
			`DELETE FROM backup_version WHERE user_id = $1`)
	})
	if err != nil {
		return fmt.Errorf("delete backups of %s: %w", userID, err)
	}
	return nil
}
