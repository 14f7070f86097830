package syncroom_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	roompb "hongyan/api/room"
)

// purge asks until nothing is left to remove, and returns how many events were.
func (g *rig) purge(req *roompb.PurgeRequest) (events int64) {
	g.t.Helper()
	for {
		resp, err := g.admin.Purge(context.Background(), req)
		require.NoError(g.t, err)
		if events += resp.Events; !resp.More {
			return events
		}
	}
}

// told are the texts and the times of a room's messages, oldest first.
func (c *client) told(room string) (bodies []string, times []int64) {
	c.g.t.Helper()
	for from := ""; ; {
		page := result{c.g.t, c.room(http.MethodGet, "/rooms/"+esc(room)+"/messages?dir=f&limit=500&from="+esc(from), nil)}
		for _, e := range page.list("chunk") {
			if e.str("type") == "m.room.message" {
				bodies, times = append(bodies, e.str("content", "body")), append(times, int64(e.num("origin_server_ts")))
			}
		}
		if from = page.str("end"); from == "" {
			return bodies, times
		}
	}
}

// TestSyncAfterAPurge is that nodes which have seen purged events, and nodes which have not, show from any token what is left, and
// count what is left of it as unread, whether they keep their counts in memory or stored them before.
func TestSyncAfterAPurge(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.client("alice"), g.client("bob")
		room := alice.create(nil)
		bob.join(room)
		first := bob.sync().str("next_batch")
		const many = 1300
		var middle string
		for i := range many {
			alice.say(room, fmt.Sprint("event ", i))
			if i == many/2 {
				middle = bob.at("", 0).str("next_batch")
			}
		}
		require.Equal(t, [2]int{many, 0}, bob.at("", 0).join(room).unread())
		bodies, times := alice.told(room)
		cut := times[many-300]
		var left []string
		for i, body := range bodies {
			if times[i] >= cut {
				left = append(left, body)
			}
		}
		require.EqualValues(t, many-len(left), g.purge(&roompb.PurgeRequest{RoomId: room, BeforeMs: cut}))

		shows := func(what string) {
			t.Helper()
			require.Eventually(t, func() bool {
				return bob.at("", 0).join(room).unread() == [2]int{len(left), 0}
			}, 20*time.Second, 10*time.Millisecond, "%s: counts what is left", what)
			for name, since := range map[string]string{"first": first, "middle": middle, "none": ""} {
				bob.filter = `{"room":{"timeline":{"limit":900}}}`
				got := bob.at(since, 0).join(room)
				require.Equal(t, left, got.bodies(), "%s: from the %s token", what, name)
				require.Equal(t, false, since != "" && got.get("timeline", "limited").v == true, "%s: from the %s token", what, name)
				bob.filter = `{"room":{"timeline":{"limit":20}}}`
				got = bob.at(since, 0).join(room)
				require.Equal(t, left[len(left)-20:], got.bodies(), "%s: from the %s token", what, name)
				require.Equal(t, true, got.get("timeline", "limited").v, "%s: from the %s token", what, name)
			}
			bob.filter = ""
		}
		shows("the node that saw them")
		g.restart()
		shows("a node that did not")
		alice.say(room, "one more")
		left = append(left, "one more")
		shows("with news")
	})
}

// TestSyncAfterARemoval is that every client which was in a room hears that it is in it no more when the room is removed under it,
// and once only: those that are away, those that poll meanwhile, those that were invited; be the node the one that saw it or another.
func TestSyncAfterARemoval(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob, invited, early := g.client("alice"), g.client("bob"), g.client("invited"), g.client("early")
		room, other := alice.create(nil), alice.create(nil)
		for _, c := range []*client{bob, early} {
			c.join(room).join(other)
			c.sync()
		}
		alice.invite(room, invited)
		require.True(t, invited.sync().has("rooms", "invite", room))
		before := bob.since
		early.leave(room)
		require.True(t, early.sync().leaves(room).has("timeline"), "before it is removed")
		var told []<-chan int
		for i := range 20 {
			c := g.client(fmt.Sprint("m", i)).join(room).join(other)
			c.sync()
			done := make(chan int, 1)
			told = append(told, done)
			parked := c.parked()
			go func() {
				times := 0
				for r := <-parked; ; r = c.poll(patience) {
					if r.leaves(room).v != nil {
						times++
					}
					if slices.Contains(r.join(other).bodies(), "the end") {
						done <- times
						return
					}
				}
			}()
		}
		g.purge(&roompb.PurgeRequest{RoomId: room, All: true, Force: true})
		alice.say(other, "the end")
		for i, done := range told {
			require.Equal(t, 1, <-done, "m%d polls", i)
		}

		away := func(what string) {
			t.Helper()
			for _, c := range []*client{bob, invited} {
				r := c.at(c.since, 0)
				require.Equal(t, map[string]any{}, r.leaves(room).v, "%s: %s was away", what, c.user)
				require.False(t, r.join(room).has("timeline"))
				require.Nil(t, c.at(r.str("next_batch"), 0).leaves(room).v, "%s: %s knows", what, c.user)
			}
			require.Nil(t, early.at(early.since, 0).leaves(room).v, "%s: had heard of it", what)
			for _, filter := range []string{`{"room":{"include_leave":true}}`, `{"room":{"not_rooms":["` + room + `"]}}`} {
				bob.filter = filter
				require.Nil(t, bob.at("", 0).leaves(room).v, "%s: a new client, %s", what, filter)
				require.Equal(t, strings.Contains(filter, "include_leave"), bob.at(before, 0).leaves(room).v != nil, "%s: %s", what, filter)
			}
			bob.filter = ""
			require.Equal(t, []string{"the end"}, bob.at(before, 0).join(other).bodies())
		}
		away("the node that saw it")
		g.restart()
		away("a node that did not")
	})
}
