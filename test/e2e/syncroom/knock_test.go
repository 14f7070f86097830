package syncroom_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// door makes a room of alice's that takes knocks.
func (c *client) door() string {
	c.g.t.Helper()
	return c.create(map[string]any{
		"preset": "private_chat", "name": "Behind the door", "topic": "secrets",
		"initial_state": []any{
			map[string]any{"type": "m.room.join_rules", "content": map[string]any{"join_rule": "knock"}},
			map[string]any{"type": "m.room.avatar", "content": map[string]any{"url": "mxc://hs/a"}},
			map[string]any{"type": "m.room.encryption", "content": map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}},
			map[string]any{"type": "org.example.hidden", "content": map[string]any{}},
		},
	})
}

func (c *client) knock(room string) {
	c.g.t.Helper()
	c.room(http.MethodPost, "/knock/"+esc(room), map[string]any{"reason": "please"})
}

func TestKnockIsShownAsStrippedState(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		bob.sync()
		room := alice.door()
		bob.knock(room)
		gap()
		r := bob.sync()
		want := []string{
			"m.room.create", "m.room.join_rules", "m.room.avatar", "m.room.encryption", "m.room.name", "m.room.topic", "m.room.member @bob:hs",
		}
		require.ElementsMatch(t, want, r.get("rooms", "knock", room).keys("knock_state"))
		for _, e := range r.get("rooms", "knock", room).list("knock_state", "events") {
			require.False(t, e.has("event_id"), "it is stripped")
			if e.str("type") == "m.room.member" {
				require.Equal(t, "knock", e.str("content", "membership"))
				require.Equal(t, "please", e.str("content", "reason"))
			}
		}
		for _, section := range []string{"join", "invite", "leave"} {
			require.False(t, r.has("rooms", section), section)
		}
		alice.say(room, "between us")
		require.False(t, bob.sync().has("rooms"), "a knock gives no events")
		require.ElementsMatch(t, want, g.client("bob").sync().get("rooms", "knock", room).keys("knock_state"), "initially too")
		require.False(t, g.client("carol").sync().has("rooms"), "nobody else sees it")
	})
}

func TestKnockEnds(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		for name, c := range map[string]struct {
			end     func(room string)
			section string
		}{
			"withdrawn": {bob.leave, "leave"},
			"denied": {func(room string) {
				alice.room(http.MethodPost, "/rooms/"+esc(room)+"/kick", map[string]any{"user_id": bob.user})
			}, "leave"},
			"banned": {func(room string) {
				alice.room(http.MethodPost, "/rooms/"+esc(room)+"/ban", map[string]any{"user_id": bob.user})
			}, "leave"},
			"accepted":             {func(room string) { alice.invite(room, bob) }, "invite"},
			"accepted and entered": {func(room string) { alice.invite(room, bob); bob.join(room) }, "join"},
		} {
			room := alice.door()
			bob.knock(room)
			require.True(t, bob.sync().has("rooms", "knock", room), name)
			alice.say(room, "not for who knocks")
			c.end(room)
			gap()
			r := bob.sync()
			require.True(t, r.has("rooms", c.section, room), name)
			require.False(t, r.has("rooms", "knock"), name)
			if c.section == "leave" {
				require.Equal(t, []string{"m.room.member @bob:hs"}, r.leaves(room).keys("timeline"), name)
				require.Empty(t, r.leaves(room).keys("state"), name)
			}
			require.False(t, bob.sync().has("rooms"), name)
			require.False(t, g.client("bob").sync().has("rooms", "knock"), name)
		}
	})
}

func TestPollWakesForTheAnswerToAKnock(t *testing.T) {
	g := onSQLite(t)
	alice, bob := g.client("alice"), g.client("bob")
	room := alice.door()
	alice.sync()
	bob.sync()
	done := make(chan result, 1)
	go func() { done <- alice.poll(20 * time.Second) }()
	bob.knock(room)
	require.Equal(t, []string{"m.room.member @bob:hs"}, (<-done).join(room).keys("timeline"), "members see the knock")
	bob.sync()
	go func() { done <- bob.poll(20 * time.Second) }()
	alice.invite(room, bob)
	require.True(t, (<-done).has("rooms", "invite", room))
}

func TestKnocksOneAfterTheOther(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		bob.sync()
		room := alice.door()
		for range 3 {
			bob.knock(room)
			gap()
			require.True(t, bob.sync().has("rooms", "knock", room))
			bob.leave(room)
			gap()
			r := bob.sync()
			require.True(t, r.has("rooms", "leave", room))
			require.False(t, r.has("rooms", "knock"))
		}
	})
}

// TestStateAfterTellsTheEnd: a client that asks for state_after takes no state from the timeline, not even its own end.
func TestStateAfterTellsTheEnd(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		bob.params = url.Values{"use_state_after": {"true"}}
		bob.sync()
		door := alice.door()
		invited := alice.create(map[string]any{"preset": "private_chat", "invite": []string{bob.user}})
		bob.knock(door)
		bob.sync()
		for _, room := range []string{door, invited} {
			bob.leave(room)
			alice.say(room, "not for bob")
			gap()
			r := bob.sync().leaves(room)
			require.Equal(t, []string{"m.room.member @bob:hs"}, r.keys("timeline"))
			require.Equal(t, []string{"m.room.member @bob:hs"}, r.keys("state_after"))
			require.Equal(t, "leave", r.list("state_after", "events")[0].str("content", "membership"))
		}
	})
}
