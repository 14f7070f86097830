package syncroom_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// texts are n messages' bodies from a number on.
func texts(from, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("m%d", from+i)
	}
	return out
}

func (c *client) sayAll(room string, bodies []string) {
	c.g.t.Helper()
	for _, b := range bodies {
		c.say(room, b)
	}
}

// inMemoryAndNot runs a test with a sync service that has the gap in memory, and with one that was restarted in it.
func inMemoryAndNot(t *testing.T, test func(t *testing.T, g *rig, gap func())) {
	onBoth(t, func(t *testing.T, g *rig) {
		t.Run("in memory", func(t *testing.T) { g.t = t; test(t, g, func() {}) })
		t.Run("after a restart", func(t *testing.T) { g.t = t; test(t, g, g.restart) })
	})
}

func TestGapIsLimitedWithTheStateThatChangedInIt(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		bob.filter = `{"room":{"timeline":{"limit":3}}}`
		room := alice.create(nil)
		bob.join(room)
		bob.sync()
		alice.state(room, "m.room.topic", "", map[string]any{"topic": "old"})
		alice.state(room, "m.room.topic", "", map[string]any{"topic": "new"})
		alice.sayAll(room, texts(0, 4))
		alice.state(room, "m.room.name", "", map[string]any{"name": "in the timeline"})
		gap()
		r := bob.sync().join(room)
		require.Equal(t, true, r.get("timeline", "limited").v)
		require.Equal(t, []string{"m2", "m3"}, r.bodies(), "the filter allows three events")
		require.Equal(t, []string{"m.room.topic"}, r.keys("state"))
		require.Equal(t, "new", r.list("state", "events")[0].str("content", "topic"))
		require.Equal(t, "old", r.list("state", "events")[0].str("unsigned", "prev_content", "topic"))

		back := alice.room("GET", "/rooms/"+esc(room)+"/messages?dir=b&limit=2&from="+r.str("timeline", "prev_batch"), nil)
		chunk := result{t, back}.list("chunk")
		require.Equal(t, "m1", chunk[0].str("content", "body"), "prev_batch goes on where the timeline begins")
	})
}

func TestGapWithinTheLimitComesWhole(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		room := alice.create(nil)
		quiet := alice.create(nil)
		bob.join(room).join(quiet)
		bob.sync()
		alice.sayAll(room, texts(0, 30))
		gap()
		r := bob.sync()
		require.Equal(t, texts(0, 30), r.join(room).bodies())
		require.Equal(t, false, r.join(room).get("timeline", "limited").v)
		require.Empty(t, r.join(room).keys("state"))
		require.False(t, r.join(quiet).v != nil, "a room without news is absent")
		require.False(t, bob.sync().has("rooms"))
	})
}

func TestStateAfterIsTheStateAtTheEnd(t *testing.T) {
	for name, keys := range map[string][2]string{
		"stable":   {"use_state_after", "state_after"},
		"unstable": {"org.matrix.msc4222.use_state_after", "org.matrix.msc4222.state_after"},
	} {
		t.Run(name, func(t *testing.T) {
			inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
				alice, bob := g.client("alice"), g.client("bob")
				bob.params = url.Values{keys[0]: {"true"}}
				room := alice.create(nil)
				bob.join(room)
				first := bob.sync().join(room)
				require.Contains(t, first.keys(keys[1]), "m.room.create")
				require.Contains(t, first.keys(keys[1]), "m.room.member @bob:hs")
				require.False(t, first.has("state"))
				alice.state(room, "m.room.topic", "", map[string]any{"topic": "one"})
				alice.state(room, "m.room.topic", "", map[string]any{"topic": "two"})
				gap()
				r := bob.sync().join(room)
				require.Equal(t, []string{"m.room.topic", "m.room.topic"}, r.types("timeline"))
				require.Equal(t, []string{"m.room.topic"}, r.keys(keys[1]))
				require.Equal(t, "two", r.list(keys[1], "events")[0].str("content", "topic"))
				require.False(t, r.has("state"))
			})
		})
	}
}

func TestFilterThatHidesStateChangesStillTellsThem(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		bob.filter = `{"room":{"timeline":{"types":["m.room.message"],"limit":2}}}`
		room := alice.create(nil)
		bob.join(room)
		first := bob.sync().join(room)
		require.Contains(t, first.keys("state"), "m.room.member @bob:hs", "the state at the start of an empty timeline is all")
		alice.say(room, "before")
		alice.state(room, "m.room.topic", "", map[string]any{"topic": "between"})
		alice.say(room, "after")
		gap()
		r := bob.sync().join(room)
		require.Equal(t, []string{"before", "after"}, r.bodies())
		require.Equal(t, []string{"m.room.topic"}, r.keys("state"))
	})
}

func TestLimitZeroGivesStateOnly(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		bob.filter = `{"room":{"timeline":{"limit":0}}}`
		room := alice.create(nil)
		bob.join(room)
		first := bob.sync().join(room)
		require.Empty(t, first.types("timeline"))
		require.Equal(t, true, first.get("timeline", "limited").v)
		require.Contains(t, first.keys("state"), "m.room.member @bob:hs")
		alice.say(room, "hidden")
		alice.state(room, "m.room.topic", "", map[string]any{"topic": "told"})
		gap()
		r := bob.sync().join(room)
		require.Empty(t, r.types("timeline"))
		require.Equal(t, true, r.get("timeline", "limited").v)
		require.Equal(t, []string{"m.room.topic"}, r.keys("state"))
	})
}

func TestFullState(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice := g.client("alice")
		room := alice.create(nil)
		other := alice.create(nil)
		alice.sync()
		alice.say(room, "new")
		alice.params = url.Values{"full_state": {"true"}}
		r := alice.sync()
		require.Equal(t, []string{"new"}, r.join(room).bodies(), "the timeline still begins at the token")
		require.Contains(t, r.join(room).keys("state"), "m.room.create")
		require.Contains(t, r.join(other).keys("state"), "m.room.create", "every room comes")
		require.Empty(t, r.join(other).bodies())
	})
}

func TestLazyLoadedMembers(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob, carol, dave := g.client("alice"), g.client("bob"), g.client("carol"), g.client("dave")
		room := alice.create(map[string]any{"preset": "public_chat", "name": "without heroes"})
		for _, c := range []*client{bob, carol, dave} {
			c.join(room)
		}
		alice.sayAll(room, texts(0, 5))
		bob.filter = `{"room":{"timeline":{"limit":2},"state":{"lazy_load_members":true}}}`
		first := bob.sync().join(room)
		require.Contains(t, first.keys("state"), "m.room.member @alice:hs", "senders of the timeline come")
		require.Contains(t, first.keys("state"), "m.room.member @bob:hs", "one's own comes")

		carol.say(room, "hi")
		gap()
		before := bob.since
		r := bob.sync().join(room)
		require.Equal(t, []string{"m.room.member @carol:hs"}, r.keys("state"))
		bob.since = before
		require.Equal(t, []string{"m.room.member @carol:hs"}, bob.sync().join(room).keys("state"),
			"what an answer that may have been lost told is told again")

		carol.say(room, "again")
		require.Empty(t, bob.sync().join(room).keys("state"), "no member twice")

		bob.filter = `{"room":{"timeline":{"limit":2},"state":{"lazy_load_members":true,"include_redundant_members":true}}}`
		carol.say(room, "and again")
		require.Equal(t, []string{"m.room.member @carol:hs"}, bob.sync().join(room).keys("state"))

		bob.filter = `{"room":{"timeline":{"limit":1},"state":{"lazy_load_members":true}}}`
		dave.leave(room)
		alice.sayAll(room, texts(0, 3))
		gap()
		r = bob.sync().join(room)
		require.Equal(t, true, r.get("timeline", "limited").v)
		require.Contains(t, r.keys("state"), "m.room.member @dave:hs", "members that changed in a gap come")
	})
}
