package room_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// threads pages through a room's threads.
func (g *rig) threads(user, roomID, query string) []string {
	g.t.Helper()
	all := []string{}
	for from := ""; ; {
		a := g.v1(user, roomPath(roomID, "threads")+"?from="+from+query)
		require.Equal(g.t, 200, a.status, string(a.body))
		all = append(all, a.ids("chunk")...)
		if from = a.str("next_batch"); from == "" {
			return all
		}
	}
}

func TestThreadsByTheirNewestReply(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.create("")
		g.act("bob", id, "join")
		require.Empty(t, g.threads("alice", id, ""))
		var roots []string
		for i := range 7 {
			roots = append(roots, g.say("alice", id, fmt.Sprint(i)))
		}
		his := g.say("bob", id, "his")
		replies := map[string]string{}
		for _, i := range []int{3, 0, 5, 2, 6, 1, 4} {
			replies[roots[i]] = g.relate("alice", id, "m.thread", roots[i], nil)
		}
		g.relate("alice", id, "m.thread", his, nil)
		want := []string{his, roots[4], roots[1], roots[6], roots[2], roots[5], roots[0], roots[3]}
		for _, limit := range []int{1, 3, 8, 100} {
			require.Equal(t, want, g.threads("alice", id, fmt.Sprint("&limit=", limit)))
		}
		require.Equal(t, []string{his}, g.threads("bob", id, "&include=participated&limit=1"))
		last := g.relate("bob", id, "m.thread", roots[3], nil)
		require.Equal(t, []string{roots[3], his}, g.threads("bob", id, "&include=participated&limit=2"))
		require.Equal(t, roots[3], g.threads("alice", id, "")[0])

		g.gone("bob", id, last)
		require.Equal(t, want, g.threads("alice", id, ""))
		require.Equal(t, []string{his}, g.threads("bob", id, "&include=participated"))
		g.gone("alice", id, replies[roots[4]])
		require.NotContains(t, g.threads("alice", id, ""), roots[4], "a thread without replies is none")
		g.gone("alice", id, roots[1])
		require.Equal(t, []string{his, roots[1]}, g.threads("alice", id, "")[:2], "one without a root is")
	})
}

func TestThreadsLeaveOutWhatIsHidden(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.create("joined")
		before := g.say("alice", id, "before bob")
		g.relate("alice", id, "m.thread", before, nil)
		g.act("bob", id, "join")
		root, other := g.say("alice", id, "root"), g.say("alice", id, "other")
		reply := g.relate("alice", id, "m.thread", root, nil)
		g.relate("alice", id, "m.thread", before, nil)
		g.relate("alice", id, "m.thread", other, nil)
		g.act("bob", id, "leave")
		later := g.say("alice", id, "bob is gone")
		g.relate("alice", id, "m.thread", later, nil)
		g.relate("alice", id, "m.thread", root, nil)
		require.Equal(t, []string{other, root}, g.threads("bob", id, ""))
		for _, e := range g.v1("bob", roomPath(id, "threads")).list("chunk") {
			if count, latest, _ := threadOf(t, relationsIn(e)); e["event_id"] == root {
				require.EqualValues(t, 1, count)
				require.Equal(t, reply, latest)
			}
		}
		require.Equal(t, []string{root, later, other, before}, g.threads("alice", id, ""))
	})
}
