//go:build goolm

package e2e_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"hongyan/test/harness"
)

// Encrypted conversations on every device: cross-signing, verification by emoji, a room where people and devices come and go, key
// backup. Each message is understood at once by each device that was there, whatever is killed meanwhile.
func TestEncryption(t *testing.T) {
	for _, topology := range topologies() {
		t.Run(topology.Name, func(t *testing.T) {
			s := &scene{Cluster: harness.StartCluster(t, topology)}
			talkInSecret(t, s)
		})
	}
}

func talkInSecret(t *testing.T, s *scene) {
	ctx := t.Context()
	alice, bob := s.encrypting(t, s.register(t, "alice"), "alice 1"), s.encrypting(t, s.register(t, "bob"), "bob 1")
	carol := s.encrypting(t, s.register(t, "carol"), "carol 1")
	alice2, bob2 := s.login(t, "alice", "alice 2"), s.login(t, "bob", "bob 2")
	var c *circle
	recoveryKey := ""
	t.Run("while each process is killed", func(t *testing.T) {
		unrest := s.unrest(t, "keys")
		recoveryKey = recognise(t, alice, alice2, bob, bob2)
		c = convene(t, alice, alice2, bob, bob2)
		for round := 0; round == 0 || !unrest.round(); round++ {
			comeAndGo(t, s, c, carol, round)
		}
	})
	if t.Failed() {
		return
	}
	t.Run("while everything is restarted", func(t *testing.T) {
		patient := mautrix.WithMaxRetries(context.WithoutCancel(ctx), 20)
		c.quiet(c.speakers()...)
		c.back(patient, t)
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			c.during(patient, t, sig.String(), func() { require.NoError(t, s.Roll(ctx, sig)) })
		}
	})
	if t.Failed() {
		return
	}
	c.account(t)
	t.Run("backup", func(t *testing.T) {
		count := alice.backUp(t, recoveryKey)
		alice3 := s.login(t, "alice", "alice 3")
		alice3.restore(t, recoveryKey, count)
		texts := alice3.readBack(t, c.room)
		require.Len(t, texts, len(c.said))
		for e, u := range c.said {
			require.Equal(t, u.text, texts[e])
		}
		for _, d := range []*device{alice, bob} {
			until(t, fmt.Sprintf("%s sees that %s is verified", d.name, alice3.name), func() bool { return d.signed(ctx, alice3) })
		}
	})
}

// recognise makes cross-signing keys and has the devices verify each other: Alice's by emoji, after which the second gets the
// secrets from the first, and Bob's by the key of his secret storage. The second of Alice's and the first of Bob's then vouch for
// each other's users, and all others learn of it from the server. It returns the key of Alice's secret storage.
func recognise(t *testing.T, alice, alice2, bob, bob2 *device) (recoveryKey string) {
	ctx := t.Context()
	recoveryKey = alice.crossSign(t)
	bobsKey := bob.crossSign(t)
	verify(t, alice, alice2)
	until(t, "alice 2 knows that it is verified", func() bool { return alice2.signed(ctx, alice2) })
	seeds := crypto.CrossSigningSeeds{
		MasterKey:      alice2.inherit(t, id.SecretXSMaster),
		SelfSigningKey: alice2.inherit(t, id.SecretXSSelfSigning),
		UserSigningKey: alice2.inherit(t, id.SecretXSUserSigning),
	}
	require.NoError(t, alice2.do(func() error { return alice2.mach.ImportCrossSigningKeys(seeds) }))
	require.Equal(t, alice.mach.ExportCrossSigningKeys(), alice2.mach.ExportCrossSigningKeys())
	require.NoError(t, bob2.do(func() error { return bob2.mach.VerifyWithRecoveryKey(ctx, bobsKey) }))
	vouch(t, alice2, bob)
	return recoveryKey
}

// convene makes the encrypted room.
func convene(t *testing.T, alice, alice2, bob, bob2 *device) *circle {
	ctx := t.Context()
	var made *mautrix.RespCreateRoom
	require.NoError(t, alice.do(func() (err error) { // it writes what the sync loop reads
		made, err = alice.CreateRoom(ctx, &mautrix.ReqCreateRoom{
			Preset: "private_chat", Invite: []id.UserID{bob.UserID}, InitialState: []*event.Event{{
				Type:    event.StateEncryption,
				Content: event.Content{Parsed: &event.EncryptionEventContent{Algorithm: id.AlgorithmMegolmV1, RotationPeriodMessages: 20}},
			}},
		})
		return err
	}))
	bob2.join(t, made.RoomID)
	c := newCircle(made.RoomID)
	c.enter(t, alice, alice2, bob, bob2)
	c.during(ctx, t, "all are there", func() {})
	for _, d := range c.members {
		for _, other := range c.members {
			until(t, fmt.Sprintf("%s sees that %s is verified", d.name, other.name), func() bool { return d.signed(ctx, other) })
		}
	}
	until(t, "alice 1 trusts bob, whom alice 2 verified", func() bool { return alice.trusts(ctx, bob.UserID) })
	until(t, "bob 2 trusts alice, whom bob 1 verified", func() bool { return bob2.trusts(ctx, alice.UserID) })
	return c
}

// comeAndGo has people and devices come and go, and all others talk on.
func comeAndGo(t *testing.T, s *scene, c *circle, carol *device, round int) {
	ctx := t.Context()
	alice, alice2, bob := c.members[0], c.members[1], c.members[2]
	invite := func() {
		require.NoError(t, alice.do(func() error {
			_, err := alice.InviteUser(ctx, c.room, &mautrix.ReqInviteUser{UserID: carol.UserID})
			return err
		}))
		carol.join(t, c.room)
	}
	c.during(ctx, t, "carol joins", func() {
		invite()
		c.enter(t, carol)
	})
	var bob3 *device
	c.during(ctx, t, "bob logs in", func() {
		bob3 = s.login(t, "bob", fmt.Sprintf("bob 3.%d", round))
		c.enter(t, bob3)
	})
	c.quiet(alice2)
	var carol2 *device
	c.during(ctx, t, "carol leaves", func() {
		c.part(t, func() { carol.exit(t, c.room) }, carol)
		carol2 = s.login(t, "carol", fmt.Sprintf("carol 2.%d", round))
	})
	c.during(ctx, t, "alice 2 is back", func() { c.back(context.WithoutCancel(ctx), t) })
	c.during(ctx, t, "carol returns with two devices", func() {
		invite()
		c.enter(t, carol, carol2)
	})
	c.during(ctx, t, "bob logs out", func() {
		c.part(t, func() {
			bob3.offline()
			_, err := bob3.Logout(ctx)
			require.NoError(t, err)
		}, bob3)
	})
	c.during(ctx, t, "bob renames a device", func() {
		require.NoError(t, bob.SetDeviceInfo(ctx, bob.DeviceID, &mautrix.ReqDeviceInfo{DisplayName: fmt.Sprintf("bob's goose %d", round)}))
	})
	c.during(ctx, t, "carol deletes a device and leaves", func() {
		c.part(t, func() {
			carol2.offline()
			carol.delete(t, carol2)
		}, carol2)
		c.part(t, func() { carol.exit(t, c.room) }, carol)
	})
}

func (d *device) join(t *testing.T, room id.RoomID) {
	t.Helper()
	require.NoError(t, d.do(func() error {
		_, err := d.JoinRoomByID(t.Context(), room)
		return err
	}))
}

func (d *device) exit(t *testing.T, room id.RoomID) {
	t.Helper()
	require.NoError(t, d.do(func() error {
		_, err := d.LeaveRoom(t.Context(), room)
		return err
	}))
}

// delete deletes another device of the same user, whose password is asked for.
func (d *device) delete(t *testing.T, other *device) {
	t.Helper()
	content, err := d.MakeRequest(t.Context(), http.MethodDelete, d.BuildClientURL("v3", "devices", other.DeviceID), struct{}{}, nil)
	var refused mautrix.HTTPError
	require.ErrorAs(t, err, &refused)
	require.True(t, refused.IsStatus(http.StatusUnauthorized), "%v", err)
	var asked mautrix.RespUserInteractive
	require.NoError(t, json.Unmarshal(content, &asked))
	require.NotEmpty(t, asked.Session)
	require.NoError(t, d.DeleteDevice(t.Context(), other.DeviceID, &mautrix.ReqDeleteDevice{Auth: mautrix.ReqUIAuthLogin{
		BaseAuthData: mautrix.BaseAuthData{Type: mautrix.AuthTypePassword, Session: asked.Session},
		User:         d.UserID.String(), Password: "secret of " + d.UserID.Localpart(),
	}}))
}

func signatureBase64(raw []byte) string { return base64.RawStdEncoding.EncodeToString(raw) }

// utterances are the ids of the messages of a room, in order.
func utterances(t *testing.T, d *device, room id.RoomID) (all []id.EventID) {
	t.Helper()
	for _, e := range encrypted(t, d, room) {
		all = append(all, e.ID)
	}
	return all
}
