package store

import (
	"context"
	"encoding/json"
	"fmt"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// Field is a field of a profile; Value is JSON.
type Field struct {
	UserID, Name string
	Value        json.RawMessage
}

func scanField(r sqldb.Rows) (Field, error) {
	var f Field
	var value string
	err := r.Scan(&f.UserID, &f.Name, &value)
	f.Value = json.RawMessage(value)
	return f, err
}

// Profile returns all fields of a user.
func (s *Store) Profile(ctx context.Context, userID string) (map[string]json.RawMessage, error) {
	fields, err := collect(ctx, s.db, scanField, `SELECT user_id, name, value FROM profile_field WHERE user_id = $1`, userID)
	if err != nil {
		return nil, fmt.Errorf("read profile of %s: %w", userID, err)
	}
	profile := make(map[string]json.RawMessage, len(fields))
	for _, f := range fields {
		profile[f.Name] = f.Value
	}
	return profile, nil
}

// ProfileFields returns the fields of these names of many users.
func (s *Store) ProfileFields(ctx context.Context, userIDs, names []string) ([]Field, error) {
	fields, err := collect(ctx, s.db, scanField, `SELECT user_id, name, value FROM profile_field
		WHERE user_id = ANY($1) AND name = ANY($2)         -- postgres
		WHERE user_id IN (SELECT value FROM json_each($1)) -- sqlite
		AND name IN (SELECT value FROM json_each($2))      -- sqlite`, userIDs, names)
	if err != nil {
		return nil, fmt.Errorf("read profiles: %w", err)
	}
	return fields, nil
}

// SetField sets a field of a profile.
func SetField(f Field) eventlog.Statement {
	return eventlog.Statement{
		SQL: `INSERT INTO profile_field (user_id, name, value) VALUES ($1, $2, $3)
			ON CONFLICT (user_id, name) DO UPDATE SET value = excluded.value`,
		Args: []any{f.UserID, f.Name, string(f.Value)}, Want: 1,
	}
}

// DeleteField removes a field of a profile.
func DeleteField(userID, name string) eventlog.Statement {
	return eventlog.Statement{
		SQL: `DELETE FROM profile_field WHERE user_id = $1 AND name = $2`, Args: []any{userID, name}, Want: 1,
	}
}

// SetProfileVersion says that the profile is another one since that version of the account.
func SetProfileVersion(userID string, version int64) eventlog.Statement {
	return eventlog.Statement{
		SQL: `UPDATE account SET profile_version = $2 WHERE user_id = $1`, Args: []any{userID, version}, Want: 1,
	}
}

// DeleteProfile removes a profile.
func DeleteProfile(userID string) eventlog.Statement {
	return eventlog.Statement{SQL: `DELETE FROM profile_field WHERE user_id = $1`, Args: []any{userID}}
}
