package backup

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/service/keys/internal/backup/store"
)

const (
	// curve25519AESSHA2 is the algorithm whose auth_data is known. Others are kept as they come, as an object.
	curve25519AESSHA2 = "m.megolm_backup.v1.curve25519-aes-sha2"
	// maxName is the longest name of an algorithm or of a session, in bytes.
	maxName = 255
	// maxData is the longest auth_data or session_data, in bytes of JSON.
	maxData = 64 << 10
	// maxInt is the greatest integer of Matrix's JSON.
	maxInt = 1<<53 - 1
)

// versionBody is the body of a request that makes or changes a version.
type versionBody struct {
	Algorithm *string         `json:"algorithm"`
	AuthData  json.RawMessage `json:"auth_data"`
	Version   *string         `json:"version"`
}

func readVersion(r *http.Request) (versionBody, error) {
	var body versionBody
	if err := httpx.ReadJSON(r, &body); err != nil {
		return body, err
	}
	switch {
	case body.Algorithm == nil:
		return body, matrix.NewError(matrix.CodeMissingParam, "algorithm is missing.")
	case *body.Algorithm == "" || len(*body.Algorithm) > maxName:
		return body, matrix.Errorf(matrix.CodeInvalidParam, "algorithm must have 1 to %d bytes.", maxName)
	case body.AuthData == nil:
		return body, matrix.NewError(matrix.CodeMissingParam, "auth_data is missing.")
	}
	if err := checkData("auth_data", body.AuthData); err != nil {
		return body, err
	}
	if *body.Algorithm == curve25519AESSHA2 {
		return body, checkAuthData(body.AuthData)
	}
	return body, nil
}

// checkData checks what is kept as it comes: an object, and not too long.
func checkData(name string, data json.RawMessage) error {
	switch {
	case len(data) > maxData:
		return matrix.Errorf(matrix.CodeTooLarge, "%s is longer than %d bytes.", name, maxData)
	case !bytes.HasPrefix(data, []byte("{")):
		return matrix.Errorf(matrix.CodeBadJSON, "%s must be an object.", name)
	}
	return nil
}

// checkAuthData checks the auth_data of curve25519AESSHA2. How many bytes the public key has is not looked at: no part of the
// server uses it.
func checkAuthData(raw json.RawMessage) error {
	var data struct {
		PublicKey  *string                      `json:"public_key"`
		Signatures map[string]map[string]string `json:"signatures"`
	}
	if err := httpx.DecodeJSON(raw, &data); err != nil {
		return err
	}
	if data.PublicKey == nil {
		return matrix.NewError(matrix.CodeBadJSON, "auth_data.public_key is missing.")
	}
	key, err := base64.RawStdEncoding.DecodeString(*data.PublicKey)
	if err != nil || len(key) == 0 {
		return matrix.NewError(matrix.CodeInvalidParam, "auth_data.public_key must be unpadded base64.")
	}
	return nil
}

// keyBody is the key of a session, allBody keys of many rooms, roomBody those of one.
type (
	keyBody struct {
		FirstMessageIndex *int64          `json:"first_message_index"`
		ForwardedCount    *int64          `json:"forwarded_count"`
		IsVerified        *bool           `json:"is_verified"`
		SessionData       json.RawMessage `json:"session_data"`
	}
	allBody struct {
		Rooms map[string]roomBody `json:"rooms"`
	}
	roomBody struct {
		Sessions map[string]keyBody `json:"sessions"`
	}
)

// key checks a key and returns it as it is stored.
func (k keyBody) key(roomID, sessionID string) (store.Key, error) {
	bad := func(name, want string) (store.Key, error) {
		return store.Key{}, matrix.Errorf(matrix.CodeBadJSON, "%s of session %.64q must be %s.", name, sessionID, want)
	}
	switch {
	case k.FirstMessageIndex == nil || *k.FirstMessageIndex < 0 || *k.FirstMessageIndex > maxInt:
		return bad("first_message_index", "a whole number")
	case k.ForwardedCount == nil || *k.ForwardedCount < 0 || *k.ForwardedCount > maxInt:
		return bad("forwarded_count", "a whole number")
	case k.IsVerified == nil:
		return bad("is_verified", "true or false")
	case k.SessionData == nil:
		return bad("session_data", "given")
	}
	if err := checkData("session_data", k.SessionData); err != nil {
		return store.Key{}, err
	}
	return store.Key{
		RoomID: roomID, SessionID: sessionID, FirstMessageIndex: *k.FirstMessageIndex, ForwardedCount: *k.ForwardedCount,
		IsVerified: *k.IsVerified, Data: string(k.SessionData),
	}, nil
}

// keys checks the keys of a room and appends them.
func (b roomBody) keys(all []store.Key, roomID string) ([]store.Key, error) {
	for sessionID, body := range b.Sessions {
		if err := checkSessionID(sessionID); err != nil {
			return nil, err
		}
		k, err := body.key(roomID, sessionID)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, nil
}

// keys checks the keys of all rooms.
func (b allBody) keys() (all []store.Key, err error) {
	for roomID, room := range b.Rooms {
		if _, err := matrix.ParseRoomID(roomID); err != nil {
			return nil, err
		}
		if room.Sessions == nil {
			return nil, matrix.Errorf(matrix.CodeBadJSON, "%s has no sessions.", roomID)
		}
		if all, err = room.keys(all, roomID); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// checkSessionID refuses what cannot be the name of a session in a path.
func checkSessionID(id string) error {
	if id == "" || len(id) > maxName {
		return matrix.Errorf(matrix.CodeInvalidParam, "A session id must have 1 to %d bytes.", maxName)
	}
	return nil
}

// inOrder sorts keys as they are stored.
func inOrder(keys []store.Key) {
	slices.SortFunc(keys, func(a, b store.Key) int {
		return cmp.Or(strings.Compare(a.RoomID, b.RoomID), strings.Compare(a.SessionID, b.SessionID))
	})
}
