package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// DeviceKey are a device's keys as they were uploaded.
type DeviceKey struct {
	UserID, DeviceID string
	// CreatedMs is when the device was made that they belong to.
	CreatedMs int64
	JSON      []byte
}

// DeviceKeys returns the keys of all devices of users.
func (s *Store) DeviceKeys(ctx context.Context, userIDs []string) ([]DeviceKey, error) {
	scan := func(r sqldb.Rows) (k DeviceKey, err error) {
		err = r.Scan(&k.UserID, &k.DeviceID, &k.CreatedMs, &k.JSON)
		return k, err
	}
	found, err := collect(ctx, s.db, scan, `SELECT k.user_id, k.device_id, d.created_ms, k.json
		FROM device_key k JOIN device d ON d.user_id = k.user_id AND d.device_id = k.device_id
		WHERE k.user_id = ANY($1)                            -- postgres
		WHERE k.user_id IN (SELECT value FROM json_each($1)) -- sqlite`, userIDs)
	if err != nil {
		return nil, fmt.Errorf("read device keys: %w", err)
	}
	return found, nil
}

// DeviceKey returns the keys of one device; nil where there are none.
func (s *Store) DeviceKey(ctx context.Context, userID, deviceID string) ([]byte, error) {
	var json []byte
	err := s.db.QueryRow(ctx, `SELECT json FROM device_key WHERE user_id = $1 AND device_id = $2`, userID, deviceID).Scan(&json)
	if err != nil && !errors.Is(err, sqldb.ErrNoRows) {
		return nil, fmt.Errorf("read keys of a device: %w", err)
	}
	return json, nil
}

// DeviceKeyRow replaces the keys of a device.
func DeviceKeyRow(userID, deviceID string, json []byte) eventlog.Row {
	return eventlog.Row{Table: tableDeviceKey, Values: []any{userID, deviceID, json}}
}

// Usages of cross-signing keys.
const (
	Master      = "master"
	SelfSigning = "self_signing"
	UserSigning = "user_signing"
)

// CrossSigningKey is a cross-signing key as it was uploaded.
type CrossSigningKey struct {
	UserID, Usage, PublicKey string
	JSON                     []byte
}

// CrossSigningKeys returns all cross-signing keys of users.
func (s *Store) CrossSigningKeys(ctx context.Context, userIDs []string) ([]CrossSigningKey, error) {
	scan := func(r sqldb.Rows) (k CrossSigningKey, err error) {
		err = r.Scan(&k.UserID, &k.Usage, &k.PublicKey, &k.JSON)
		return k, err
	}
	found, err := collect(ctx, s.db, scan, `SELECT user_id, usage, public_key, json FROM cross_signing_key
		WHERE user_id = ANY($1)                            -- postgres
		WHERE user_id IN (SELECT value FROM json_each($1)) -- sqlite`, userIDs)
	if err != nil {
		return nil, fmt.Errorf("read cross-signing keys: %w", err)
	}
	return found, nil
}

// CrossSigningRow replaces a cross-signing key.
func CrossSigningRow(k CrossSigningKey) eventlog.Row {
	return eventlog.Row{Table: tableCrossSigningKey, Values: []any{k.UserID, k.Usage, k.PublicKey, k.JSON}}
}

// HoldMaster lets an append be written only while a user's master key is this one, "" for none. It locks the user's stream in
// the device-list log until the append is written.
func HoldMaster(stream int64, userID, publicKey string) []eventlog.Statement {
	held := `EXISTS (SELECT 1 FROM cross_signing_key WHERE user_id = $2 AND usage = 'master' AND public_key = $3)`
	if publicKey == "" {
		held = `NOT EXISTS (SELECT 1 FROM cross_signing_key WHERE user_id = $2 AND usage = 'master' AND public_key <> $3)`
	}
	return []eventlog.Statement{
		{SQL: `UPDATE device_list_stream SET seq = seq WHERE stream = $1`, Args: []any{stream}, Want: 1},
		{
			SQL:  `UPDATE device_list_stream SET seq = seq WHERE stream = $1 AND ` + held,
			Args: []any{stream, userID, publicKey}, Want: 1,
		},
	}
}

// HeldKey is a stored key on which an append relies: that of a device, or a cross-signing key of a usage.
type HeldKey struct{ UserID, DeviceID, Usage, JSON string }

// HoldKey lets an append to the device-list log be written only while a key is stored as it was read. All that changes keys are
// appends to that log, which has one shard: they come one after the other.
func HoldKey(k HeldKey) eventlog.Statement {
	if k.Usage != "" {
		return eventlog.Statement{
			SQL:  `UPDATE cross_signing_key SET json = json WHERE user_id = $1 AND usage = $2 AND json = $3`,
			Args: []any{k.UserID, k.Usage, []byte(k.JSON)}, Want: 1,
		}
	}
	return eventlog.Statement{
		SQL:  `UPDATE device_key SET json = json WHERE user_id = $1 AND device_id = $2 AND json = $3`,
		Args: []any{k.UserID, k.DeviceID, []byte(k.JSON)}, Want: 1,
	}
}

// DropCrossSigningKey deletes a cross-signing key with all signatures that it made and that were made of it.
func DropCrossSigningKey(k CrossSigningKey) []eventlog.Statement {
	return []eventlog.Statement{
		{SQL: `DELETE FROM cross_signing_key WHERE user_id = $1 AND usage = $2`, Args: []any{k.UserID, k.Usage}},
		{SQL: `DELETE FROM key_signature WHERE user_id = $1 AND key_id = $2`, Args: []any{k.UserID, k.PublicKey}},
		{SQL: `DELETE FROM key_signature WHERE signer = $1 AND signer_key = $2`, Args: []any{k.UserID, "ed25519:" + k.PublicKey}},
	}
}

// Signature is a signature that was uploaded after the key that it signs.
type Signature struct {
	// UserID and KeyID say which key was signed: a device id or the public key of a cross-signing key.
	UserID, KeyID string
	// Signer is whose key signed it, SignerKey its name with the algorithm.
	Signer, SignerKey string
	Signature         string
}

func scanSignature(r sqldb.Rows) (x Signature, err error) {
	err = r.Scan(&x.UserID, &x.KeyID, &x.Signer, &x.SignerKey, &x.Signature)
	return x, err
}

// Signatures returns the signatures of keys of users that somebody may see: those that the users made themselves, and the
// viewer's own.
func (s *Store) Signatures(ctx context.Context, userIDs []string, viewer string) ([]Signature, error) {
	found, err := collect(ctx, s.db, scanSignature, `SELECT user_id, key_id, signer, signer_key, signature FROM key_signature
		WHERE user_id = ANY($1)                            -- postgres
		WHERE user_id IN (SELECT value FROM json_each($1)) -- sqlite
		AND (signer = user_id OR signer = $2)`, userIDs, viewer)
	if err != nil {
		return nil, fmt.Errorf("read signatures: %w", err)
	}
	return found, nil
}

// SignaturesOf returns the signatures that one user has uploaded of keys of users.
func (s *Store) SignaturesOf(ctx context.Context, userIDs []string, signer string) ([]Signature, error) {
	found, err := collect(ctx, s.db, scanSignature, `SELECT user_id, key_id, signer, signer_key, signature FROM key_signature
		WHERE user_id = ANY($1)                            -- postgres
		WHERE user_id IN (SELECT value FROM json_each($1)) -- sqlite
		AND signer = $2`, userIDs, signer)
	if err != nil {
		return nil, fmt.Errorf("read signatures of a user: %w", err)
	}
	return found, nil
}

// SignaturesBy returns how many signatures a user has made.
func (s *Store) SignaturesBy(ctx context.Context, signer string) (n int, err error) {
	if err = s.db.QueryRow(ctx, `SELECT count(*) FROM key_signature WHERE signer = $1`, signer).Scan(&n); err != nil {
		return 0, fmt.Errorf("count signatures: %w", err)
	}
	return n, nil
}

// SignatureRow adds a signature.
func SignatureRow(x Signature) eventlog.Row {
	return eventlog.Row{Table: tableSignature, Values: []any{x.UserID, x.KeyID, x.Signer, x.SignerKey, x.Signature}}
}

// DropSignatures deletes the signatures of a key.
func DropSignatures(userID, keyID string) eventlog.Statement {
	return eventlog.Statement{SQL: `DELETE FROM key_signature WHERE user_id = $1 AND key_id = $2`, Args: []any{userID, keyID}}
}
