package syncroom_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSecretsAreStored keeps the keys of a new user as clients do, and reads them on a device that comes later.
func TestSecretsAreStored(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.client("alice"), g.client("bob")
		const key = "m.secret_storage.key.oT9iJ/+x Q" // clients may name keys as they like
		encrypted := func(text string) map[string]any {
			return map[string]any{"encrypted": map[string]any{
				"oT9iJ/+x Q": map[string]any{"iv": "16 bytes", "ciphertext": text, "mac": "of " + text},
			}}
		}
		want := map[string]map[string]any{
			key:                            {"algorithm": "m.secret_storage.v1.aes-hmac-sha2", "iv": "16 bytes", "mac": "of nothing"},
			"m.secret_storage.default_key": {"key": "oT9iJ/+x Q"},
			"m.cross_signing.master":       encrypted("master"),
			"m.cross_signing.self_signing": encrypted("self-signing"),
			"m.cross_signing.user_signing": encrypted("user-signing"),
			"m.megolm_backup.v1":           encrypted("backup"),
		}
		path := func(eventType string) string { return "/user/" + alice.user + "/account_data/" + esc(eventType) }
		alice.sync()
		for eventType, content := range want {
			require.Equal(t, "M_NOT_FOUND", alice.do(g.sync.handler, http.MethodGet, path(eventType), nil).object()["errcode"])
			alice.ok(http.MethodPut, path(eventType), content)
		}
		told := func(r result) map[string]map[string]any {
			got := map[string]map[string]any{}
			for _, e := range r.list("account_data", "events") {
				if e.str("type") != "m.push_rules" {
					got[e.str("type")] = e.get("content").v.(map[string]any)
				}
			}
			return got
		}
		require.Equal(t, want, told(alice.sync()))

		g.restart()
		phone := alice.another("PHONE")
		require.Equal(t, want, told(phone.sync()))
		for eventType, content := range want {
			require.Equal(t, content, phone.ok(http.MethodGet, path(eventType), nil))
			require.Equal(t, http.StatusForbidden, bob.do(g.sync.handler, http.MethodGet, path(eventType), nil).status)
		}
		require.Empty(t, told(bob.sync()), "they are the user's alone")

		// A key may be named anew; the others stay.
		alice.ok(http.MethodPut, path("m.secret_storage.default_key"), map[string]any{"key": "other"})
		require.Equal(t, map[string]map[string]any{"m.secret_storage.default_key": {"key": "other"}}, told(phone.poll(patience)))
	})
}

// TestSecretsAreShared asks the user's other devices for a secret, of which one sends it.
func TestSecretsAreShared(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.client("alice"), g.client("bob")
		phone := alice.another("PHONE")
		for _, c := range []*client{alice, phone, bob} {
			c.sync()
		}
		send := func(from *client, eventType string, to *client, content map[string]any) {
			from.ring(http.MethodPut, "/sendToDevice/"+eventType+"/"+eventType, map[string]any{
				"messages": map[string]any{to.user: map[string]any{to.device: content}},
			})
		}
		one := func(c *client) result {
			events := c.poll(patience).list("to_device", "events")
			require.Len(t, events, 1)
			return events[0]
		}
		request := map[string]any{
			"action": "request", "name": "m.cross_signing.self_signing", "request_id": "r1", "requesting_device_id": phone.device,
		}
		send(phone, "m.secret.request", alice, request)
		asked := one(alice)
		require.Equal(t, "m.secret.request", asked.str("type"))
		require.Equal(t, alice.user, asked.str("sender"))
		require.Equal(t, request, asked.get("content").v)

		secret := map[string]any{"algorithm": "m.olm.v1.curve25519-aes-sha2", "ciphertext": map[string]any{"curve": map[string]any{"body": "x"}}}
		send(alice, "m.room.encrypted", phone, secret)
		got := one(phone)
		require.Equal(t, "m.room.encrypted", got.str("type"))
		require.Equal(t, secret, got.get("content").v)
		require.Empty(t, bob.sync().list("to_device", "events"))
	})
}
