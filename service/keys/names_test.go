package keys_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// exec changes the database as another instance does.
func (g *rig) exec(sql string, args ...any) {
	g.t.Helper()
	_, err := g.db.Exec(context.Background(), sql, args...)
	require.NoError(g.t, err)
}

// TestNoDeviceIsCalledAsACrossSigningKey has devices and cross-signing keys of one name come in either order, and at once.
func TestNoDeviceIsCalledAsACrossSigningKey(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, c := g.login("alice", "A1"), newCross("alice")
		g.ok(alice, deviceSigning, c.upload(t))
		for _, k := range []signingKey{c.master, c.self, c.userSigning} {
			d := g.login("alice", k.public())
			g.fails(d, "/keys/upload", object{"device_keys": deviceKeys(t, d, k)}, 403, "M_FORBIDDEN")
			require.False(t, g.query(alice, "alice").get("device_keys", "@alice:hs", d.id).Exists())
		}
		other := g.login("bob", c.master.public())
		g.ok(other, "/keys/upload", object{"device_keys": deviceKeys(t, other, c.master)})

		// Another instance stores the cross-signing key while the device uploads its own.
		carol, key := g.login("carol", "C1"), newSigningKey()
		d := g.login("carol", key.public())
		g.people.setAsking(func() {
			g.exec(`INSERT INTO cross_signing_key (user_id, usage, public_key, json) VALUES ($1, 'master', $2, $3)`,
				"@carol:hs", d.id, []byte("{}"))
		})
		g.fails(d, "/keys/upload", object{"device_keys": deviceKeys(t, d, key)}, 403, "M_FORBIDDEN")
		require.Zero(t, g.rows("device_key", "carol"))
		g.exec(`DELETE FROM cross_signing_key WHERE user_id = $1`, "@carol:hs")

		// And the other way round.
		cross := newCross("carol")
		g.people.setAsking(func() {
			g.exec(`INSERT INTO device (user_id, device_id, created_ms, removed_ms) VALUES ($1, $2, 1, 0)`, "@carol:hs", cross.self.public())
		})
		g.fails(carol, deviceSigning, cross.upload(t), 403, "M_FORBIDDEN")
		require.Zero(t, g.rows("cross_signing_key", "carol"))
		g.exec(`UPDATE device SET removed_ms = 1 WHERE device_id = $1`, cross.self.public())
		g.ok(carol, deviceSigning, cross.upload(t))
	})
}
