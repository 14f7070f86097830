package keys_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/keys"
)

const deviceSigning = "/keys/device_signing/upload"

var proof = object{"type": "m.login.password", "password": "password", "session": "s"}

// with returns a copy of an object with another member.
func with(o object, name string, value any) object {
	out := object{name: value}
	for k, v := range o {
		if k != name {
			out[k] = v
		}
	}
	return out
}

func TestCrossSigningKeysAreSetUp(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.login("alice", "A1"), g.login("bob", "B1")
		c := newCross("alice")
		g.fails(alice, deviceSigning, object{"self_signing_key": c.key(t, "self_signing", c.self)}, 400, "M_MISSING_PARAM")
		g.fails(alice, deviceSigning, "{}", 400, "M_MISSING_PARAM")
		first := c.upload(t)
		require.Equal(t, "{}", g.ok(alice, deviceSigning, first).body)
		require.Zero(t, g.people.steps(), "the first keys need no proof")
		users, last := g.changed(0, "")
		require.Equal(t, []string{"@alice:hs"}, users)

		own, others := g.query(alice, "alice"), g.query(bob, "alice")
		for _, a := range []answer{own, others} {
			require.Equal(t, c.master.public(), a.get("master_keys", "@alice:hs", "keys", "ed25519:"+c.master.public()).Str)
			require.Equal(t, `["self_signing"]`, a.get("self_signing_keys", "@alice:hs", "usage").Raw)
		}
		require.Equal(t, `["user_signing"]`, own.get("user_signing_keys", "@alice:hs", "usage").Raw)
		require.Equal(t, "{}", others.get("user_signing_keys").Raw, "that is nobody else's business")

		for _, same := range []object{first, {"master_key": first["master_key"]}, {"self_signing_key": first["self_signing_key"]}, {}} {
			g.ok(alice, deviceSigning, same)
		}
		require.Zero(t, g.people.steps(), "nor does a repeat")
		users, _ = g.changed(last, "")
		require.Empty(t, users)

		another := newCross("alice")
		for name, body := range map[string]object{
			"another master key":       another.upload(t),
			"another self-signing key": {"master_key": first["master_key"], "self_signing_key": c.key(t, "self_signing", another.self)},
			"a further usage":          {"master_key": with(first["master_key"].(object), "usage", []string{"master", "x"})},
		} {
			a := g.post(alice, deviceSigning, body)
			require.Equal(t, http.StatusUnauthorized, a.status, name)
			require.Equal(t, "m.login.password", a.get("flows").Get("0.stages.0").Str, a.body)
			require.False(t, a.get("errcode").Exists())
		}
		require.Equal(t, own.body, g.query(alice, "alice").body, "nothing has changed")
		g.ok(alice, deviceSigning, with(another.upload(t), "auth", proof))
		a := g.query(alice, "alice")
		require.Equal(t, another.master.public(), a.get("master_keys", "@alice:hs", "keys", "ed25519:"+another.master.public()).Str)
		users, last = g.changed(last, "")
		require.Equal(t, []string{"@alice:hs"}, users)

		// A new master key alone leaves nothing that it has not signed.
		third := newCross("alice")
		g.ok(alice, deviceSigning, object{"master_key": third.key(t, "master", third.master), "auth": proof})
		a = g.query(alice, "alice")
		require.Equal(t, "{}", a.get("self_signing_keys").Raw)
		require.Equal(t, "{}", a.get("user_signing_keys").Raw)
		users, _ = g.changed(last, "")
		require.Equal(t, []string{"@alice:hs"}, users)
	})
}

func TestCrossSigningKeysThatAreRefused(t *testing.T) {
	g := newRig(t, databases["sqlite"](t), nil, keys.Default())
	alice := g.login("alice", "A1")
	c, other := newCross("alice"), newCross("alice")
	g.login("alice", c.userSigning.public())
	master := c.key(t, "master", c.master)
	self := c.key(t, "self_signing", c.self)
	for name, tt := range map[string]struct {
		body   any
		status int
		code   string
	}{
		"no JSON":            {`{"master_key":`, 400, "M_NOT_JSON"},
		"no object":          {object{"master_key": "x"}, 400, "M_BAD_JSON"},
		"another user":       {object{"master_key": with(master, "user_id", "@bob:hs")}, 400, "M_INVALID_PARAM"},
		"another usage":      {object{"master_key": with(master, "usage", []string{"self_signing"})}, 400, "M_INVALID_PARAM"},
		"usage no list":      {object{"master_key": with(master, "usage", "master")}, 400, "M_BAD_JSON"},
		"no key":             {object{"master_key": with(master, "keys", object{})}, 400, "M_INVALID_PARAM"},
		"two keys":           {object{"master_key": with(master, "keys", object{"ed25519:a": "a", "ed25519:b": "b"})}, 400, "M_INVALID_PARAM"},
		"another name":       {object{"master_key": with(master, "keys", object{"ed25519:a": c.master.public()})}, 400, "M_INVALID_PARAM"},
		"another algorithm":  {object{"master_key": with(master, "keys", object{"x:" + c.master.public(): c.master.public()})}, 400, "M_INVALID_PARAM"},
		"a short key":        {object{"master_key": with(master, "keys", object{"ed25519:abcd": "abcd"})}, 400, "M_INVALID_PARAM"},
		"not signed":         {object{"master_key": master, "self_signing_key": with(self, "signatures", object{})}, 400, "M_INVALID_SIGNATURE"},
		"signed by another":  {object{"master_key": master, "self_signing_key": other.key(t, "self_signing", c.self)}, 400, "M_INVALID_SIGNATURE"},
		"a changed key":      {object{"master_key": master, "self_signing_key": with(self, "x", "y")}, 400, "M_INVALID_SIGNATURE"},
		"called as a device": {object{"master_key": master, "user_signing_key": c.key(t, "user_signing", c.userSigning)}, 403, "M_FORBIDDEN"},
		"a number":           {object{"master_key": master, "self_signing_key": 1}, 400, "M_BAD_JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			g := g.at(t)
			g.fails(alice, deviceSigning, tt.body, tt.status, tt.code)
			require.Equal(t, "{}", g.query(alice, "alice").get("master_keys").Raw)
		})
	}
}

// TestOnlyOneOfTwoFirstKeysNeedsNoProof lets two devices set up cross-signing at the same time, through two instances.
func TestOnlyOneOfTwoFirstKeysNeedsNoProof(t *testing.T) {
	url := databases["postgres"](t)
	first := newRig(t, url, nil, keys.Default())
	second := newRig(t, url, first, keys.Default())
	for range 10 {
		d := first.login("alice", "A1")
		var wg sync.WaitGroup
		statuses := make([]int, 4)
		for i := range statuses {
			body := newCross("alice").upload(t)
			wg.Go(func() { statuses[i] = []*rig{first, second}[i%2].post(d, deviceSigning, body).status })
		}
		wg.Wait()
		won := 0
		for _, status := range statuses {
			if status == http.StatusOK {
				won++
			} else {
				require.Equal(t, http.StatusUnauthorized, status)
			}
		}
		require.Equal(t, 1, won)
		_, err := first.db.Exec(t.Context(), `DELETE FROM cross_signing_key`)
		require.NoError(t, err)
	}
}

// TestAPasswordIsCheckedOutOfTurn uploads other keys of a user while their password is checked.
func TestAPasswordIsCheckedOutOfTurn(t *testing.T) {
	g := newRig(t, databases["sqlite"](t), nil, keys.Default())
	alice := g.login("alice", "A1")
	g.ok(alice, deviceSigning, newCross("alice").upload(t))
	g.people.proving = func() {
		done := make(chan answer, 1)
		go func() {
			done <- g.post(alice, "/keys/upload", object{"one_time_keys": object{curve + ":1": oneTime(alice, "one")}})
		}()
		select {
		case a := <-done:
			require.Equal(t, http.StatusOK, a.status)
		case <-time.After(patience):
			t.Error("other changes wait for the password")
		}
	}
	another := newCross("alice")
	g.ok(alice, deviceSigning, with(another.upload(t), "auth", proof))
	require.Equal(t, 1, g.people.steps())
	require.True(t, g.query(alice, "alice").get("master_keys", "@alice:hs", "keys", "ed25519:"+another.master.public()).Exists())
}

// TestKeysThatCameFirstNeedAProof has another device set up cross-signing while a first upload, which needs no proof, is under way.
func TestKeysThatCameFirstNeedAProof(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, other := g.login("alice", "A1"), newSigningKey()
		g.people.setAsking(func() {
			g.exec(`INSERT INTO cross_signing_key (user_id, usage, public_key, json) VALUES ($1, 'master', $2, $3)`,
				"@alice:hs", other.public(), []byte("{}"))
		})
		first := newCross("alice").upload(t)
		require.Equal(t, http.StatusUnauthorized, g.post(alice, deviceSigning, first).status)
		require.Equal(t, 1, g.people.steps())
		g.ok(alice, deviceSigning, with(first, "auth", proof))
		require.Equal(t, 2, g.people.steps())
	})
}
