package app_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/canonicaljson"
)

// TestKeysOfDevices uploads, queries and claims keys, sets up cross-signing with user-interactive authentication, and has a device
// leave: with everything in one process, and in several.
func TestKeysOfDevices(t *testing.T) {
	t.Run("one process", func(t *testing.T) { keysOfDevices(t, start(t, t.TempDir(), nil)) })
	t.Run("several processes", func(t *testing.T) {
		d := newDeployment(t, "")
		d.start("identity")
		for range 2 {
			d.start("keys")
		}
		d.start("room,sync,media,social")
		keysOfDevices(t, d.start("gateway"))
	})
}

const clientKeys = "/_matrix/client/v3/keys/"

func keysOfDevices(t *testing.T, s *server) {
	alice, bob := s.register("alice"), s.register("bob")
	post := func(token, path, body string) (int, string) {
		status, answer := s.call("POST", clientKeys+path, token, body)
		return status, text(t, answer)
	}
	ok := func(token, path, body string) string {
		status, answer := post(token, path, body)
		require.Equal(t, 200, status, answer)
		return answer
	}
	status, login := s.call("POST", "/_matrix/client/v3/login", "", `{"type":"m.login.password","identifier":{"type":"m.id.user",`+
		`"user":"alice"},"password":"correct horse","device_id":"SECOND","initial_device_display_name":"phone"}`)
	require.Equal(t, 200, status, login)
	second := login["access_token"].(string)

	status, answer := post(second, "upload", `{"device_keys":{"user_id":"@alice:localhost","device_id":"OTHER","algorithms":[],`+
		`"keys":{},"signatures":{}}}`)
	require.Equal(t, 400, status, answer)
	const sig = `"signatures":{"@alice:localhost":{"ed25519:SECOND":"s"}}`
	answer = ok(second, "upload", `{"device_keys":{"user_id":"@alice:localhost","device_id":"SECOND","algorithms":["a"],`+
		`"keys":{"ed25519:SECOND":"k"},"signatures":{}},"one_time_keys":{"signed_curve25519:1":{"key":"one",`+sig+`}},`+
		`"fallback_keys":{"signed_curve25519:f":{"key":"f",`+sig+`}}}`)
	require.JSONEq(t, `{"one_time_key_counts":{"signed_curve25519":1}}`, answer)
	const askAlice = `{"device_keys":{"@alice:localhost":[]}}`
	require.Contains(t, ok(bob, "query", askAlice), `"unsigned":{"device_display_name":"phone"}`)
	const claim = `{"one_time_keys":{"@alice:localhost":{"SECOND":"signed_curve25519"}}}`
	require.Contains(t, ok(bob, "claim", claim), `{"signed_curve25519:1":{"key":"one"`)
	require.Contains(t, ok(bob, "claim", claim), `{"signed_curve25519:f":{"key":"f"`)

	// Cross-signing: the first time without proof, then with it.
	master := func(seed byte) map[string]any {
		private := ed25519.NewKeyFromSeed(append(make([]byte, 31), seed))
		public := base64.RawStdEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
		key := map[string]any{
			"user_id": "@alice:localhost", "usage": []string{"master"}, "keys": map[string]string{"ed25519:" + public: public},
		}
		self := maps.Clone(key)
		self["usage"] = []string{"self_signing"}
		raw, err := canonicaljson.Marshal(self)
		require.NoError(t, err)
		signature := base64.RawStdEncoding.EncodeToString(ed25519.Sign(private, raw))
		self["signatures"] = map[string]any{"@alice:localhost": map[string]string{"ed25519:" + public: signature}}
		return map[string]any{"master_key": key, "self_signing_key": self}
	}
	upload := func(keys map[string]any, auth map[string]any) (int, string) {
		body := maps.Clone(keys)
		if auth != nil {
			body["auth"] = auth
		}
		raw, err := json.Marshal(body)
		require.NoError(t, err)
		return post(alice, "device_signing/upload", string(raw))
	}
	for range 2 {
		status, answer = upload(master(1), nil)
		require.Equal(t, 200, status, answer)
	}
	status, answer = upload(master(2), nil)
	require.Equal(t, 401, status, answer)
	var challenge struct{ Session string }
	require.NoError(t, json.Unmarshal([]byte(answer), &challenge))
	require.NotEmpty(t, challenge.Session)
	auth := func(password string) map[string]any {
		return map[string]any{
			"type": "m.login.password", "identifier": map[string]string{"type": "m.id.user", "user": "alice"},
			"password": password, "session": challenge.Session,
		}
	}
	status, answer = upload(master(2), auth("wrong"))
	require.Equal(t, 401, status, answer)
	require.Contains(t, answer, "M_FORBIDDEN")
	before := ok(bob, "query", askAlice)
	status, answer = upload(master(2), auth("correct horse"))
	require.Equal(t, 200, status, answer)
	require.NotEqual(t, before, ok(bob, "query", askAlice))

	// The device leaves, and another one comes under its id.
	status, left := s.call("POST", "/_matrix/client/v3/logout", second, "")
	require.Equal(t, 200, status, left)
	require.NotContains(t, ok(bob, "query", askAlice), "SECOND")
	require.Eventually(t, func() bool { return ok(bob, "claim", claim) == `{"failures":{},"one_time_keys":{}}` },
		time.Minute, 20*time.Millisecond)
	status, answer = post(second, "upload", "{}")
	require.Equal(t, 401, status, answer)
}
