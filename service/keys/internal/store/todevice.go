package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// Messages to devices are latest-wins entries of the log of the users, each with a key of its own:
//
//	d/DEVICE/CREATED/SENDER-RANDOM
//
// DEVICE is escaped, since it may hold a slash. CREATED is when the device was made, so that what was for a device that is gone can
// be told from what is for a later one of the same id. SENDER is a hash of the sender.

// maxCreatedMs is the latest time that has its place in a key: that of the year 2286.
const maxCreatedMs = 9_999_999_999_999

// ToDevicePrefix is what the keys of all messages to a device begin with.
func ToDevicePrefix(deviceID string) string { return "d/" + url.PathEscape(deviceID) + "/" }

// ToDeviceKey is the key of a message to a device that was made at a time. Neither sender nor random has a slash, sender no
// hyphen.
func ToDeviceKey(deviceID string, createdMs int64, sender, random string) string {
	return createdBefore(deviceID, createdMs) + "/" + sender + "-" + random
}

// createdBefore is greater than the keys of all messages to a device that was made before a time, and not greater than those to a later one.
func createdBefore(deviceID string, ms int64) string {
	return fmt.Sprintf("%s%013d", ToDevicePrefix(deviceID), min(max(ms, 0), maxCreatedMs))
}

// senderOf returns the sender's part of a key.
func senderOf(key string) string {
	sender, _, _ := strings.Cut(key[strings.LastIndexByte(key, '/')+1:], "-")
	return sender
}

// ofDevice is a condition on keys_latest: $1 is the user, $2 and $3 are bounds of the keys.
const ofDevice = ` stream = (SELECT stream FROM keys_stream WHERE name = $1) AND key >= $2 AND key < $3 `

// Message is an entry that waits for a device.
type Message struct {
	Position int64
	Body     []byte
}

// ToDevice reads the oldest messages for a device after a position and through another one, at most limit of them, and no
// more, but one, than bytes have place. It tells whether there are more.
func (s *Store) ToDevice(
	ctx context.Context, userID, deviceID string, after, through int64, limit, bytes int,
) (messages []Message, more bool, err error) {
	prefix := ToDevicePrefix(deviceID)
	rows, err := s.db.Query(ctx, `SELECT position, body FROM keys_latest WHERE`+ofDevice+`
		AND position > $4 AND position <= $5 ORDER BY position LIMIT $6`, userID, prefix, eventlog.AfterPrefix(prefix), after, through, limit+1)
	if err != nil {
		return nil, false, fmt.Errorf("read messages to a device: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var m Message
		if err := rows.Scan(&m.Position, &m.Body); err != nil {
			return nil, false, fmt.Errorf("read messages to a device: %w", err)
		}
		if bytes -= len(m.Body); len(messages) == limit || len(messages) > 0 && bytes < 0 {
			return messages, true, nil
		}
		messages = append(messages, m)
	}
	if err := rows.Err(); err != nil {
		return nil, false, fmt.Errorf("read messages to a device: %w", err)
	}
	return messages, false, nil
}

// Acknowledge deletes the messages for a device through a position and tells how many. Where there is none it writes nothing.
func (s *Store) Acknowledge(ctx context.Context, userID, deviceID string, through int64) (deleted int64, err error) {
	prefix := ToDevicePrefix(deviceID)
	args := []any{userID, prefix, eventlog.AfterPrefix(prefix), through}
	var one int
	err = s.db.QueryRow(ctx, `SELECT 1 FROM keys_latest WHERE`+ofDevice+`AND position <= $4 LIMIT 1`, args...).Scan(&one)
	if errors.Is(err, sqldb.ErrNoRows) {
		return 0, nil
	}
	if err == nil {
		deleted, err = s.db.Exec(ctx, `DELETE FROM keys_latest WHERE`+ofDevice+`AND position <= $4`, args...)
	}
	if err != nil {
		return 0, fmt.Errorf("delete messages that a device has got: %w", err)
	}
	return deleted, nil
}

// ForgetMessages deletes the messages for a device that was made before a time, not those for a later one of the same id.
func (s *Store) ForgetMessages(ctx context.Context, userID, deviceID string, beforeMs int64) error {
	forget := forgetMessages(userID, deviceID, beforeMs)
	if _, err := s.db.Exec(ctx, forget.SQL, forget.Args...); err != nil {
		return fmt.Errorf("delete messages to a device that is gone: %w", err)
	}
	return nil
}

func forgetMessages(userID, deviceID string, beforeMs int64) eventlog.Statement {
	return eventlog.Statement{
		SQL:  `DELETE FROM keys_latest WHERE` + ofDevice,
		Args: []any{userID, ToDevicePrefix(deviceID), createdBefore(deviceID, beforeMs)},
	}
}

// Waiting is a message in the queue of a device, without what it says.
type Waiting struct {
	Key      string
	Position int64
	// Size is that of what is stored, in bytes.
	Size int64
	// Sender is the hash of who sent it.
	Sender string
}

// Queue reads what waits for a device, oldest first.
func (s *Store) Queue(ctx context.Context, userID, deviceID string) ([]Waiting, error) {
	prefix := ToDevicePrefix(deviceID)
	scan := func(r sqldb.Rows) (w Waiting, err error) {
		err = r.Scan(&w.Key, &w.Position, &w.Size)
		w.Sender = senderOf(w.Key)
		return w, err
	}
	// length looks at no bodies: both databases keep it beside them.
	queue, err := collect(ctx, s.db, scan, `SELECT key, position, CAST(length(body) AS BIGINT) FROM keys_latest WHERE`+ofDevice+`
		ORDER BY position`, userID, prefix, eventlog.AfterPrefix(prefix))
	if err != nil {
		return nil, fmt.Errorf("measure the queue of a device: %w", err)
	}
	return queue, nil
}

// dropAtOnce is how many messages one statement deletes: on SQLite all other writes wait for it.
const dropAtOnce = 500

// Drop deletes messages by their keys and tells how many were there.
func (s *Store) Drop(ctx context.Context, userID string, keys []string) (int64, error) {
	var dropped int64
	for len(keys) > 0 {
		some := keys[:min(len(keys), dropAtOnce)]
		n, err := s.db.Exec(ctx, `DELETE FROM keys_latest WHERE stream = (SELECT stream FROM keys_stream WHERE name = $1)
			AND key = ANY($2)                            -- postgres
			AND key IN (SELECT value FROM json_each($2)) -- sqlite`, userID, some)
		if err != nil {
			return dropped, fmt.Errorf("drop messages to a device: %w", err)
		}
		dropped, keys = dropped+n, keys[len(some):]
	}
	return dropped, nil
}
