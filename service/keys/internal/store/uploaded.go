package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// A claimed one-time key leaves a row in uploaded_key behind, which is written with the key. As its primary key is the key's, no
// other append can write the same key anew: that is an error, eventlog.ErrExists.

// UploadedKey is a one-time key that a device has uploaded before.
type UploadedKey struct {
	// JSON is the key, nil when it was claimed.
	JSON []byte
	// Hash is that of the key; "" where it is not known.
	Hash string
}

// Name is what clients call a key: ALGORITHM:ID.
func (k Key) Name() string { return k.Algorithm + ":" + k.KeyID }

// UploadedKeys returns those of the keys of these names that a device has uploaded before, claimed or not, as far as is remembered.
func (s *Store) UploadedKeys(ctx context.Context, userID, deviceID string, names []string) (map[string]UploadedKey, error) {
	uploaded := map[string]UploadedKey{}
	scan := func(r sqldb.Rows) (name string, err error) {
		var k UploadedKey
		if err = r.Scan(&name, &k.JSON, &k.Hash); err == nil {
			uploaded[name] = k
		}
		return name, err
	}
	// Each key is looked up by its primary key: a device may have thousands.
	_, err := collect(ctx, s.db, scan, `SELECT w.name, k.json, COALESCE(u.hash, '') FROM (
			SELECT name, split_part(name, ':', 1) AS algorithm, substr(name, strpos(name, ':') + 1) AS key_id -- postgres
			FROM unnest($3::text[]) AS names(name)                                                            -- postgres
			SELECT value AS name, substr(value, 1, instr(value, ':') - 1) AS algorithm,                       -- sqlite
				substr(value, instr(value, ':') + 1) AS key_id FROM json_each($3)                             -- sqlite
		) AS w
		LEFT JOIN uploaded_key u ON u.user_id = $1 AND u.device_id = $2 AND u.algorithm = w.algorithm AND u.key_id = w.key_id
		LEFT JOIN one_time_key k ON k.user_id = $1 AND k.device_id = $2 AND k.algorithm = w.algorithm AND k.key_id = w.key_id
		WHERE u.key_id IS NOT NULL OR k.key_id IS NOT NULL`, userID, deviceID, names)
	if err != nil {
		return nil, fmt.Errorf("read uploaded one-time keys: %w", err)
	}
	return uploaded, nil
}

// Hash tells keys of one id apart.
func (k Key) Hash() string {
	sum := sha256.Sum256(k.JSON)
	return base64.RawStdEncoding.EncodeToString(sum[:])
}

// UploadedRow remembers that a one-time key was uploaded. It is an error of the append if one of this id is remembered.
func UploadedRow(userID string, k Key, ordinal int64) eventlog.Row {
	return eventlog.Row{
		Table: tableUploadedKey, Values: []any{userID, k.DeviceID, k.Algorithm, k.KeyID, ordinal, k.Hash()},
	}
}

// ForgetUploaded forgets keys of a device, each of which has the hash beside it. It conflicts where one of them has another.
func ForgetUploaded(userID, deviceID string, keys []Key, hashes []string) eventlog.Statement {
	_, algorithms, ids := lists(keys)
	return eventlog.Statement{
		SQL: `DELETE FROM uploaded_key WHERE user_id = $1 AND device_id = $2 AND (algorithm, key_id, hash) IN (
			SELECT * FROM unnest($3::text[], $4::text[], $5::text[])                                                    -- postgres
			SELECT value, json_extract($4, '$[' || key || ']'), json_extract($5, '$[' || key || ']') FROM json_each($3) -- sqlite
			)`,
		Args: []any{userID, deviceID, algorithms, ids, hashes}, Want: int64(len(keys)),
	}
}

// ForgetUploadedBefore forgets the keys of a device that came before an ordinal and were claimed.
func ForgetUploadedBefore(userID, deviceID string, ordinal int64) eventlog.Statement {
	return eventlog.Statement{
		SQL: `DELETE FROM uploaded_key AS u WHERE user_id = $1 AND device_id = $2 AND ordinal < $3 AND NOT EXISTS (
			SELECT 1 FROM one_time_key k WHERE k.user_id = u.user_id AND k.device_id = u.device_id
			AND k.algorithm = u.algorithm AND k.key_id = u.key_id)`,
		Args: []any{userID, deviceID, ordinal},
	}
}
