package keys_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	identitypb "hongyan/api/identity"
	"hongyan/platform/eventlog"
	"hongyan/service/keys"
)

// rows counts the rows of a user in a table.
func (g *rig) rows(table, user string) (n int) {
	g.t.Helper()
	require.NoError(g.t, g.db.QueryRow(context.Background(), "SELECT count(*) FROM "+table+" WHERE user_id = $1", userID(user)).Scan(&n))
	return n
}

// entries counts the entries of a user in the log "keys".
func (g *rig) entries(user string) (n int) {
	g.t.Helper()
	require.NoError(g.t, g.db.QueryRow(context.Background(),
		"SELECT count(*) FROM keys_latest l JOIN keys_stream s ON s.stream = l.stream WHERE s.name = $1", userID(user)).Scan(&n))
	return n
}

// message puts a message into the queue of a device.
func (g *rig) message(d device, escaped string) {
	g.t.Helper()
	log, err := eventlog.Open(context.Background(), g.db, eventlog.Schema{Name: "keys"}, eventlog.Config{})
	require.NoError(g.t, err)
	stream, err := log.Stream(context.Background(), userID(d.user))
	require.NoError(g.t, err)
	_, err = g.db.Exec(context.Background(), `INSERT INTO keys_latest (stream, key, kind, body, shard, position)
		VALUES ($1, $2, 1, $3, $4, $5)`, stream.ID, "d/"+escaped+"/0000000000001/x-1", []byte("message"), stream.Shard, 1000+len(escaped))
	require.NoError(g.t, err)
}

// full gives a device everything that a device may have.
func (g *rig) full(d device) {
	g.t.Helper()
	g.ok(d, "/keys/upload", object{
		"device_keys":   deviceKeys(g.t, d, newSigningKey()),
		"one_time_keys": object{curve + ":1": oneTime(d, "one")}, "fallback_keys": object{curve + ":f": oneTime(d, "f")},
	})
}

func TestARemovedDeviceLeavesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		x := newSigners(t, g)
		stays := device{"alice", "A1/x"} // it has the beginning of another's id
		g.people.add("alice", stays.id, "")
		g.full(stays)
		g.full(x.alice)
		g.message(x.alice, "A1")
		g.message(stays, "A1%2Fx")
		g.ok(x.alice, signaturesUpload, object{"@alice:hs": object{
			x.a.master.public(): x.keyOf["A2"].sign(t, x.a.key(t, "master", x.a.master), "alice", "A2"),
			"A2":                x.a.self.sign(t, x.keys["A2"], "alice", x.a.self.public()),
		}})
		require.Equal(t, 2, g.rows("key_signature", "alice"))
		_, last := g.changed(0, "")
		require.Equal(t, 4, g.entries("alice"))

		g.people.drop("alice", "A1")
		require.False(t, g.query(x.bob, "alice").get("device_keys", "@alice:hs", "A1").Exists(), "gone as soon as identity says so")
		g.people.tell("alice", identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_REMOVED, "A1")
		g.people.remove("alice", "A2")
		await(t, "the keys are gone", func() bool { return g.rows("device_key", "alice") == 1 && g.rows("key_signature", "alice") == 0 })
		await(t, "the one-time keys are gone", func() bool { return g.rows("one_time_key", "alice") == 1 && g.rows("fallback_key", "alice") == 1 })
		await(t, "what is left in the log is of the other device", func() bool { return g.entries("alice") == 2 })
		users, _ := g.changed(last, "")
		require.Equal(t, []string{"@alice:hs"}, users)
		require.Empty(t, g.counts(x.alice).GetOneTime())
		require.Equal(t, map[string]int64{curve: 1}, g.counts(stays).GetOneTime())
		require.True(t, g.query(x.bob, "alice").get("master_keys", "@alice:hs").Exists(), "cross-signing keys are the user's")
	})
}

func TestARenamedDeviceIsAChange(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.login("alice", "A1"), g.login("bob", "B1")
		g.login("alice", "A2")
		g.full(alice)
		_, last := g.changed(0, "")
		g.people.rename("alice", "A2", "without keys")
		g.people.rename("alice", "A1", "other")
		var users []string
		await(t, "the change is told", func() bool {
			users, last = g.changed(last, "")
			return len(users) > 0
		})
		require.Equal(t, []string{"@alice:hs"}, users)
		require.Equal(t, "other", g.query(bob, "alice").get("device_keys", "@alice:hs", "A1", "unsigned", "device_display_name").Str)
	})
}

func TestADeactivatedUserLeavesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		x := newSigners(t, g)
		g.full(x.alice)
		g.message(x.second, "A2")
		g.ok(x.alice, signaturesUpload, object{"@bob:hs": object{
			x.b.master.public(): x.a.userSigning.sign(t, x.b.key(t, "master", x.b.master), "alice", x.a.userSigning.public()),
		}})
		require.Equal(t, 1, g.rows("key_signature", "bob"))
		_, last := g.changed(0, "")
		for _, id := range []string{"A1", "A2"} {
			g.people.remove("alice", id)
		}
		g.people.tell("alice", identitypb.UserEventKind_USER_EVENT_KIND_DEACTIVATED)
		for _, table := range []string{"cross_signing_key", "device_key", "one_time_key", "fallback_key"} {
			await(t, table+" is empty", func() bool { return g.rows(table, "alice") == 0 })
		}
		await(t, "the signatures and messages are gone", func() bool { return g.rows("key_signature", "bob") == 0 && g.entries("alice") == 0 })
		users, _ := g.changed(last, "")
		require.Equal(t, []string{"@alice:hs"}, users)
		require.Equal(t, 3, g.rows("cross_signing_key", "bob"))
	})
}

// TestAnIDThatIsGivenAgain has a device removed, and another one made under its id, before the removal is heard of.
func TestAnIDThatIsGivenAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		old, bob := g.login("alice", "A1"), g.login("bob", "B1")
		g.full(old)
		g.message(old, "A1")
		g.people.drop("alice", "A1")
		g.login("alice", "A1")
		require.Equal(t, "{}", g.query(bob, "alice").get("device_keys", "@alice:hs").Raw, "the keys were the earlier one's")
		g.ok(old, "/keys/upload", object{"one_time_keys": object{curve + ":1": oneTime(old, "another")}})
		require.Equal(t, map[string]int64{curve: 1}, g.counts(old).GetOneTime())
		require.Empty(t, g.counts(old).GetUnusedFallback(), "it is the earlier one's")
		require.Equal(t, 1, g.entries("alice"), "so is the queue")
		_, text := g.claim(bob, old)
		require.Equal(t, "another", text)
		g.full(old)
		key := g.query(bob, "alice").get("device_keys", "@alice:hs", "A1").Raw
		require.NotEmpty(t, key)

		// Now the removal is heard of, and after it something else.
		g.people.tell("alice", identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_REMOVED, "A1")
		_, last := g.changed(0, "")
		g.people.rename("alice", "A1", "renamed")
		await(t, "the log was followed", func() bool {
			users, _ := g.changed(last, "")
			return len(users) > 0
		})
		require.Equal(t, map[string]int64{curve: 1}, g.counts(old).GetOneTime())
		require.True(t, g.query(bob, "alice").get("device_keys", "@alice:hs", "A1").Exists())
	})
}

// TestALoginByASlowClock has a device that had no keys removed by an instance of identity, and its id given again by another one whose
// clock shows an earlier time.
func TestALoginByASlowClock(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice := g.login("alice", "A1")
		g.people.removeAt(g.people.now()+time.Minute.Milliseconds(), "alice", "A1")
		await(t, "the removal is followed", func() bool { return g.rows("device", "alice") == 1 })
		g.login("alice", "A1")
		g.full(alice)
		require.Equal(t, map[string]int64{curve: 1}, g.counts(alice).GetOneTime())
	})
}

// TestAnUploadOfADeviceThatGoes has a device removed, and all of it forgotten, while it uploads keys.
func TestAnUploadOfADeviceThatGoes(t *testing.T) {
	for _, had := range []string{"nothing", "keys"} {
		onBoth(t, func(t *testing.T, g *rig) {
			alice := g.login("alice", "A1")
			if had == "keys" {
				g.full(alice)
			}
			for name, upload := range map[string]func() answer{
				"device keys": func() answer {
					return g.post(alice, "/keys/upload", object{"device_keys": deviceKeys(t, alice, newSigningKey())})
				},
				"one-time keys": func() answer {
					return g.post(alice, "/keys/upload", object{"one_time_keys": object{curve + ":9": oneTime(alice, "x")}})
				},
			} {
				removed := false
				g.people.setAsking(func() {
					removed = true
					g.people.remove("alice", "A1")
					await(t, "the removal is followed", func() bool {
						var n int
						require.NoError(t, g.db.QueryRow(context.Background(), "SELECT count(*) FROM device WHERE removed_ms > 0").Scan(&n))
						return n == 1
					})
				})
				a := upload()
				require.True(t, removed)
				require.Equal(t, http.StatusUnauthorized, a.status, name+a.body)
				require.Equal(t, "M_UNKNOWN_TOKEN", a.get("errcode").Str)
				require.Zero(t, g.rows("device_key", "alice")+g.rows("one_time_key", "alice"))
				// The id is used again.
				g.login("alice", "A1")
				g.full(alice)
				require.Equal(t, map[string]int64{curve: 1}, g.counts(alice).GetOneTime())
			}
		})
	}
}

// TestOneOfSeveralFollows has another instance go on when the one that followed has ended.
func TestOneOfSeveralFollows(t *testing.T) {
	url := databases["postgres"](t)
	first := newRig(t, url, nil, keys.Default())
	second := newRig(t, url, first, keys.Default())
	for i, g := range []*rig{first, second} {
		d := g.login("alice", fmt.Sprintf("A%d", i))
		second.full(d)
		g.people.remove("alice", d.id)
		await(t, "the removal is followed", func() bool { return second.rows("device_key", "alice") == 0 })
		if i == 0 {
			first.stop()
		}
	}
}

// TestARestoredIdentityIsFollowedAnew begins identity's log from its beginning: nothing that is there goes.
func TestARestoredIdentityIsFollowedAnew(t *testing.T) {
	g := newRig(t, databases["sqlite"](t), nil, keys.Default())
	alice, second := g.login("alice", "A1"), g.login("alice", "A2")
	g.full(alice)
	g.full(second)
	g.people.tell("alice", identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_REMOVED, "A1") // which was undone by the restoring
	g.people.tell("bob", identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_REMOVED, "B1")
	require.NoError(t, g.people.log.NewEpoch(t.Context()))
	g.people.remove("alice", "A2")
	await(t, "the removal is followed", func() bool { return g.rows("device_key", "alice") == 1 })
	require.Equal(t, map[string]int64{curve: 1}, g.counts(alice).GetOneTime())
}
