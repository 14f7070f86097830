package room_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/room"
)

const day = 24 * time.Hour

// TestLifetimes is what a room's m.room.retention comes to: malformed values count as absent, bounds clamp.
func TestLifetimes(t *testing.T) {
	ms := func(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
	none := room.Retention{}
	bounded := room.Retention{Default: room.RetentionDefault{MaxLifetime: 30 * day}, Min: day, Max: 90 * day}
	for _, c := range []struct {
		name, content   string
		plain, inBounds time.Duration
	}{
		{"nothing", `{}`, 0, 30 * day},
		{"a day", `{"max_lifetime":` + ms(day) + `}`, day, day},
		{"an hour", `{"max_lifetime":` + ms(time.Hour) + `}`, time.Hour, day},
		{"a year", `{"max_lifetime":` + ms(365*day) + `}`, 365 * day, 90 * day},
		{"zero", `{"max_lifetime":0}`, 0, 30 * day},
		{"negative", `{"max_lifetime":-5}`, 0, 30 * day},
		{"text", `{"max_lifetime":"1000"}`, 0, 30 * day},
		{"fraction", `{"max_lifetime":1000.5}`, 0, 30 * day},
		{"too large", `{"max_lifetime":9007199254740993}`, 0, 30 * day},
		{"null", `{"max_lifetime":null}`, 0, 30 * day},
		{"content is no object", `[1]`, 0, 30 * day},
		{"only the least", `{"min_lifetime":` + ms(60*day) + `}`, 0, 60 * day},
		{"only a small least", `{"min_lifetime":` + ms(day) + `}`, 0, 30 * day},
		{"the least is more than the greatest", `{"min_lifetime":` + ms(3*day) + `,"max_lifetime":` + ms(2*day) + `}`, 0, 30 * day},
		{"both", `{"min_lifetime":` + ms(2*day) + `,"max_lifetime":` + ms(3*day) + `}`, 3 * day, 3 * day},
		{"for ever", `{"max_lifetime":9007199254740991}`, 100 * 365 * day, 90 * day},
	} {
		require.Equal(t, c.plain, none.LifetimeOf(c.content), c.name)
		require.Equal(t, c.inBounds, bounded.LifetimeOf(c.content), c.name)
	}
}

func TestRetentionSettingsAreChecked(t *testing.T) {
	for want, change := range map[string]func(*room.Retention){
		"retention.batch is 0": func(r *room.Retention) { r.Batch = 0 },
		"retention.every":      func(r *room.Retention) { r.Every = time.Millisecond },
		"retention.pause":      func(r *room.Retention) { r.Pause = time.Hour },
		"negative":             func(r *room.Retention) { r.Min = -1 },
		"more than":            func(r *room.Retention) { r.Min, r.Max = 2*day, day },
		"not within":           func(r *room.Retention) { r.Max, r.Default.MaxLifetime = day, 2*day },
	} {
		require.ErrorContains(t, keeping(change).Validate(), want)
	}
	require.NoError(t, room.Default().Validate())
	short := room.Default()
	short.Retention.Default.MaxLifetime = time.Hour
	require.ErrorContains(t, short.Validate(), "24h0m0s", "there is a least lifetime unless somebody lifts it")
	require.Equal(t, day, room.Default().Retention.LifetimeOf(`{"max_lifetime":1}`), "reported messages cannot be made go at once")
	require.False(t, room.Default().Retention.Enabled, "nothing is removed unless somebody wants it")
}

// texts are the bodies of the messages that are left in a room.
func (g *rig) texts(roomID string) string {
	g.t.Helper()
	var all []string
	for _, e := range g.timeline("alice", roomID, 50) {
		if e["type"] == "m.room.message" {
			body, _ := e["content"].(map[string]any)["body"].(string)
			all = append(all, body)
		}
	}
	return strings.Join(all, " ")
}

// TestExpiry is when messages go: at the first run after their lifetime, by what the room says now, and the newest event only once
// there is a newer one.
func TestExpiry(t *testing.T) {
	onBothKept(t, keeping(nil), func(t *testing.T, g *world, clock *hand) {
		run := func() { t.Helper(); require.NoError(t, g.service.Expire(t.Context())) }
		kept := g.create("")
		id := g.createWith("alice", map[string]any{"preset": "public_chat", "initial_state": []map[string]any{
			{"type": "m.room.retention", "state_key": "", "content": map[string]any{"max_lifetime": (10 * time.Hour).Milliseconds()}},
		}})
		for _, to := range []string{kept, id} {
			g.say("alice", to, "a")
		}
		clock.move(time.Hour)
		g.say("alice", id, "b")
		run()
		require.Equal(t, "a b", g.texts(id))
		clock.move(9*time.Hour - time.Millisecond)
		run()
		require.Equal(t, "a b", g.texts(id), "a millisecond is left")
		clock.move(time.Millisecond)
		require.Equal(t, "a b", g.texts(id), "until the next run")
		run()
		require.Equal(t, "b", g.texts(id))
		clock.move(48 * time.Hour)
		run()
		require.Equal(t, "b", g.texts(id), "the newest event stays")
		run()
		g.say("alice", id, "c")
		run()
		require.Equal(t, "c", g.texts(id), "until there is a newer one, which need not be waited for")

		shorter := g.setState("alice", id, "m.room.retention", "", map[string]any{"max_lifetime": time.Hour.Milliseconds()})
		clock.move(2 * time.Hour)
		run()
		require.Empty(t, g.texts(id), "what the room says now counts at once")
		g.say("alice", id, "d")
		g.say("alice", id, "e")
		require.Equal(t, http.StatusOK, g.redact("alice", id, shorter, "r").status)
		clock.move(100 * day)
		run()
		require.Equal(t, "d e", g.texts(id), "a redacted policy says nothing")
		require.Equal(t, "a", g.texts(kept), "a room that says nothing keeps everything")
	})
}

// TestDefaultLifetime is that changed settings hold for what is there already, and that a run looks at no room before its time.
func TestDefaultLifetime(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			clock, address := newHand(), open(t)
			g := newWorldOf(t, address, nil, keeping(nil), clock.now)
			var ids []string
			for range 12 {
				id := g.create("")
				g.say("alice", id, "a")
				g.say("alice", id, "b")
				ids = append(ids, id)
			}
			clock.move(40 * day)
			require.NoError(t, g.service.Expire(t.Context()))
			require.Equal(t, "a b", g.texts(ids[3]))
			due := func() int { return g.count(`SELECT count(*) FROM room WHERE check_ms <= $1`, clock.ms.Load()) }
			require.Zero(t, due(), "without a lifetime no room is looked at again")
			g.stop()

			g = newWorldOf(t, address, g, keeping(func(r *room.Retention) { r.Default.MaxLifetime = 30 * day }), clock.now)
			g.txn.Store(1 << 30)
			require.NoError(t, g.service.Expire(t.Context()))
			for _, id := range ids {
				require.Equal(t, "b", g.texts(id))
			}
			require.Zero(t, due())
			g.say("alice", ids[0], "c")
			clock.move(29 * day)
			require.NoError(t, g.service.Expire(t.Context()))
			require.Equal(t, "c", g.texts(ids[0]), "b had expired long ago")
			require.Zero(t, due(), "nothing can have expired")
			clock.move(day)
			require.Equal(t, len(ids), due())
		})
	}
}

// TestRunsInTheBackground is that one of the instances does it by itself.
func TestRunsInTheBackground(t *testing.T) {
	clock := newHand()
	cfg := keeping(func(r *room.Retention) {
		r.Enabled, r.Every, r.Default.MaxLifetime = true, time.Second, time.Hour
	})
	address := databases["postgres"](t)
	g := newWorldOf(t, address, nil, cfg, clock.now)
	newWorldOf(t, address, g, cfg, clock.now)
	id := g.create("")
	g.say("alice", id, "a")
	clock.move(2 * time.Hour)
	g.say("alice", id, "b")
	await(t, "it has expired", func() bool { return g.texts(id) == "b" })
}
