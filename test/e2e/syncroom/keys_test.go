package syncroom_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/sync"
)

// patience bounds what is waited for that must come.
const patience = 30 * time.Second

// parked polls in the background and tells the answer.
func (c *client) parked() <-chan result {
	before := c.polls()
	done := make(chan result, 1)
	go func() { done <- c.poll(patience) }()
	require.Eventually(c.g.t, func() bool { return c.polls() > before }, patience, time.Millisecond)
	return done
}

func (c *client) polls() int {
	if c.node != nil {
		return c.node.service.Parked()
	}
	return c.g.sync.service.Parked()
}

func TestKeyCountsAreInEveryAnswer(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.client("alice"), g.client("bob")
		phone := alice.another("PHONE")
		first := alice.sync()
		require.True(t, first.has("device_one_time_keys_count", "signed_curve25519"))
		require.Equal(t, []any{}, first.get("device_unused_fallback_key_types").v)
		phone.sync()

		waiting, other := alice.parked(), phone.parked()
		alice.uploadOneTime(0, 3)
		require.Equal(t, 3, (<-waiting).oneTime())
		waiting = alice.parked()
		bob.ring(http.MethodPost, "/keys/claim", map[string]any{"one_time_keys": map[string]any{
			alice.user: map[string]any{alice.device: "signed_curve25519"},
		}})
		require.Equal(t, 2, (<-waiting).oneTime())
		require.Len(t, other, 0, "another device is not concerned")
		phone.uploadOneTime(0, 1)
		require.Equal(t, 1, (<-other).oneTime())

		fallback := alice.signed("f")
		fallback["fallback"] = true
		alice.ring(http.MethodPost, "/keys/upload", map[string]any{"fallback_keys": map[string]any{"signed_curve25519:f": fallback}})
		require.Equal(t, []any{"signed_curve25519"}, alice.poll(patience).get("device_unused_fallback_key_types").v)

		old := alice.since
		alice.uploadOneTime(10, 5)
		g.restart()
		require.Equal(t, 7, alice.at(old, patience).oneTime(), "what changed since the token is news after a restart")
		alice.since = old
		require.Equal(t, 7, alice.poll(patience).oneTime())
		require.Equal(t, 7, alice.sync().oneTime())
	})
}

func TestMessagesToDevicesRepeatUntilAcknowledged(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.client("alice"), g.client("bob")
		phone := alice.another("PHONE")
		alice.sync()
		phone.sync()
		waiting := alice.parked()
		old := alice.since
		bob.sendTo(alice, "one")
		require.Equal(t, []string{"one"}, (<-waiting).mail())
		require.Equal(t, []string{"one"}, alice.at(old, 0).mail(), "again from the same token")
		g.restart()
		require.Equal(t, []string{"one"}, alice.at(old, patience).mail(), "again from another instance")
		require.Equal(t, []string{"one"}, alice.at("", 0).mail(), "an initial sync gives what waits")
		require.Equal(t, 1, alice.stored())
		require.Empty(t, phone.sync().mail())
		bob.sendTo(phone, "call")
		require.Equal(t, []string{"call"}, phone.poll(patience).mail())
		require.Equal(t, []string{"one"}, alice.at(phone.since, 0).mail(), "another device's token acknowledges nothing")
		require.Equal(t, []string{"one"}, alice.at(old, 0).mail())

		require.Empty(t, alice.sync().mail())
		require.Equal(t, 0, alice.stored(), "a later token acknowledges")
		bob.sendTo(alice, "two")
		require.Equal(t, []string{"two"}, alice.poll(patience).mail())
		bob.sendTo(alice, "three")
		require.Equal(t, []string{"three"}, alice.poll(patience).mail())
		require.Equal(t, 1, alice.stored())
	})
}

func TestManyMessagesToADeviceComeInPortions(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.client("alice"), g.client("bob")
		alice.sync()
		var want, got []string
		for i := range 250 {
			want = append(want, fmt.Sprint(i))
			bob.sendTo(alice, fmt.Sprint(i))
		}
		for _, n := range []int{100, 100, 50} {
			if len(got) == 100 {
				g.restart()
			}
			mail := alice.poll(patience).mail()
			require.Len(t, mail, n)
			got = append(got, mail...)
		}
		require.Equal(t, want, got)
		require.Empty(t, alice.sync().mail())
		require.Equal(t, 0, alice.stored())
	})
}

// TestKeysComeNoLaterThanTheirMessages sends a message to a device and then an event that needs it, over and over, while the
// device polls two instances in turn.
func TestKeysComeNoLaterThanTheirMessages(t *testing.T) {
	g, both := pair(t)
	alice, bob := g.client("alice"), g.client("bob")
	room := alice.encrypted()
	bob.join(room)
	alice.sync()
	const n = 60
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range n {
			bob.sendTo(alice, fmt.Sprint(i))
			bob.send(room, "m.room.encrypted", map[string]any{"algorithm": "m.megolm.v1.aes-sha2", "body": fmt.Sprint(i)})
		}
	}()
	keys, events := map[string]bool{}, 0
	for i := 0; events < n; i++ {
		alice.node = both[i%2]
		r := alice.poll(patience)
		for _, k := range r.mail() {
			require.False(t, keys[k], "message %s comes twice", k)
			keys[k] = true
		}
		for _, e := range r.list("rooms", "join", room, "timeline", "events") {
			require.Equal(t, fmt.Sprint(events), e.str("content", "body"))
			require.True(t, keys[e.str("content", "body")], "event %d comes before its key", events)
			events++
		}
	}
	<-sent
	require.Len(t, keys, n)
}

// TestPortionsOfMessagesComeBeforeWhatNeedsThem sends more messages to a device than one answer has, and then an event that
// needs the last.
func TestPortionsOfMessagesComeBeforeWhatNeedsThem(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.client("alice"), g.client("bob")
		room := alice.encrypted()
		bob.join(room)
		alice.sync()
		for i := range 250 {
			bob.sendTo(alice, fmt.Sprint(i))
		}
		bob.changeDevice()
		bob.send(room, "m.room.encrypted", map[string]any{"algorithm": "m.megolm.v1.aes-sha2"})
		var got, changed []string
		for _, n := range []int{100, 100, 50} {
			if len(got) == 100 {
				g.restart()
			}
			r := alice.poll(patience)
			require.Len(t, r.mail(), n)
			got = append(got, r.mail()...)
			require.Equal(t, len(got) == 250, r.has("rooms"), "the event comes with the last messages")
			changed = append(changed, r.changed()...)
			require.Equal(t, 0, r.oneTime())
		}
		require.Contains(t, changed, "bob")
		bob.say(room, "hello")
		require.Equal(t, []string{"hello"}, alice.poll(patience).join(room).bodies())
	})
}

func TestOneUserWhoTakesTooLongIsNobodyElsesTrouble(t *testing.T) {
	g := onSQLite(t)
	alice, bob := g.client("alice"), g.client("bob")
	alice.sync()
	bob.sync()
	g.keys.burden.Store(&alice.user)
	bob.sendTo(alice, "one")
	alice.sendTo(bob, "two")
	require.Empty(t, alice.sync().mail())
	require.Equal(t, []string{"two"}, bob.sync().mail())
	g.keys.burden.Store(nil)
	require.Equal(t, []string{"one"}, alice.sync().mail())
}

// TestEncryptedEventsWaitForKeys breaks the connection to the keys service for a moment, in which a message to a device and
// an event that needs it are sent.
func TestEncryptedEventsWaitForKeys(t *testing.T) {
	for name, mode := range map[string]int32{"down": down, "stuck": stuck} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, g *rig) {
				g.sync.stop()
				cfg := sync.Default()
				cfg.KeysPatience = patience
				g.sync = g.startSyncWith(cfg)
				alice, bob := g.client("alice"), g.client("bob")
				room := alice.encrypted()
				bob.join(room)
				alice.sync()
				waiting := alice.parked()
				g.keys.mode.Store(mode)
				bob.sendTo(alice, "key")
				bob.send(room, "m.room.encrypted", map[string]any{})
				select {
				case r := <-waiting:
					require.Fail(t, "an answer without the keys", "%v", r)
				case <-time.After(5 * time.Second / 2): // longer than the keys service is waited for at once
				}
				g.keys.mode.Store(well)
				r := <-waiting
				require.Equal(t, []string{"key"}, r.mail())
				require.Len(t, r.join(room).list("timeline", "events"), 1)

				g.keys.mode.Store(mode)
				bob.say(room, "nothing secret")
				require.Equal(t, []string{"nothing secret"}, alice.poll(patience).join(room).bodies(), "that waits for nobody")
				since := alice.since
				waiting = alice.parked()
				bob.send(room, "m.room.encrypted", map[string]any{})
				g.sync.stop()
				r = <-waiting
				require.False(t, r.has("rooms"), "an instance that stops shows nothing too early")
				require.Equal(t, since, r.str("next_batch"))
			})
		})
	}
}

// TestIdleClientsAskNothingOfKeys lets others be busy: whom that does not concern costs the keys service nothing.
func TestIdleClientsAskNothingOfKeys(t *testing.T) {
	g := onSQLite(t)
	alice, bob, carol := g.client("alice"), g.client("bob"), g.client("carol")
	alice.sync()
	alice.poll(time.Millisecond)
	asked := g.keys.asked.Load()
	waiting := alice.parked()
	room := carol.encrypted()
	bob.join(room)
	for i := range 10 {
		bob.sendTo(carol, fmt.Sprint(i))
		carol.changeDevice()
	}
	bob.say(room, "hello")
	require.Len(t, waiting, 0)
	bob.sendTo(alice, "end")
	require.Equal(t, []string{"end"}, (<-waiting).mail())
	require.Equal(t, asked+1, g.keys.asked.Load(), "only the message was asked for")
}

// TestRoomsGoOnWithoutKeys breaks the connection to the keys service in both ways.
func TestRoomsGoOnWithoutKeys(t *testing.T) {
	for name, mode := range map[string]int32{"down": down, "stuck": stuck} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, g *rig) {
				alice, bob := g.client("alice"), g.client("bob")
				room := alice.encrypted()
				bob.join(room)
				alice.uploadOneTime(0, 3)
				alice.sync()

				g.keys.mode.Store(mode)
				bob.sendTo(alice, "key")
				bob.changeDevice()
				alice.uploadOneTime(3, 1)
				for i := range 3 {
					bob.send(room, "m.room.encrypted", map[string]any{"body": fmt.Sprint(i)})
					r := alice.poll(patience)
					require.NotEmpty(t, r.join(room).list("timeline", "events"))
					require.Equal(t, 3, r.oneTime(), "what is known is told")
				}
				g.restart()
				bob.say(room, "after a restart")
				r := alice.poll(patience)
				require.Equal(t, []string{"after a restart"}, r.join(room).bodies())
				require.False(t, r.has("device_one_time_keys_count"), "nothing is known")

				waiting := alice.parked()
				g.keys.mode.Store(well)
				r = <-waiting
				for len(r.mail()) == 0 || len(r.changed()) == 0 || r.oneTime() != 4 {
					require.Empty(t, r.get("rooms").v)
					old := r
					r = alice.poll(patience)
					if len(old.mail()) > 0 {
						r.v.(map[string]any)["to_device"] = old.get("to_device").v
					}
					if len(old.changed()) > 0 {
						r.v.(map[string]any)["device_lists"] = old.get("device_lists").v
					}
				}
				require.Equal(t, []string{"key"}, r.mail())
				require.Equal(t, []string{"bob"}, r.changed())
			})
		})
	}
}
