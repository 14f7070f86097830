package syncroom_test

import (
	"context"
	"fmt"
	"net/http"
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

// TestSyncAfterARemoval is that a room which was removed shows in no answer, be the token from before it was left.
func TestSyncAfterARemoval(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.client("alice"), g.client("bob")
		room, other := alice.create(nil), alice.create(nil)
		bob.join(room).join(other)
		alice.say(room, "x")
		before := bob.sync().str("next_batch")
		alice.leave(room)
		bob.leave(room)
		left := bob.at(before, 0)
		require.True(t, left.leaves(room).has("timeline"))
		g.purge(&roompb.PurgeRequest{RoomId: room, All: true})
		for _, who := range []*client{alice, bob} {
			for _, filter := range []string{"", `{"room":{"include_leave":true}}`} {
				for _, since := range []string{"", before} {
					who.filter = filter
					r := who.at(since, 0)
					require.False(t, r.leaves(room).has("timeline"), "filter %s, since %s", filter, since)
					require.False(t, r.join(room).has("timeline"))
				}
			}
		}
		bob.filter = ""
		alice.say(other, "still here")
		require.Equal(t, []string{"still here"}, bob.at(before, 0).join(other).bodies())
	})
}
