package live_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/sync/internal/live"
)

func TestFactsFollowTheLog(t *testing.T) {
	w := newWorld(t, live.Default())
	w.member("!a", "@alice", "join")
	u := w.start().attach("@alice")
	change, _ := u.Room("!a")
	facts := &change.Room.Facts
	_, known := facts.Counts()
	require.False(t, known)
	facts.PutCounts(live.Counts{Seq: 1, Joined: 1, Named: true})
	bob := live.StateKey{Type: "m.room.member", Key: "@bob"}
	facts.PutState(1, map[live.StateKey]*live.Event{bob: nil})
	e, known := facts.State(bob)
	require.True(t, known)
	require.Nil(t, e)

	w.member("!a", "@bob", "invite")
	w.member("!a", "@bob", "join")
	w.member("!a", "@carol", "invite")
	w.applyAll()
	counts, known := facts.Counts()
	require.True(t, known)
	require.Equal(t, live.Counts{Seq: 4, Joined: 2, Invited: 1, Named: true}, counts)
	e, _ = facts.State(bob)
	require.EqualValues(t, "join", e.Membership)

	facts.PutState(2, map[live.StateKey]*live.Event{{Type: "m.room.topic"}: nil})
	_, known = facts.State(live.StateKey{Type: "m.room.topic"})
	require.False(t, known, "what was read before newer state came is outdated")
	facts.PutCounts(live.Counts{Seq: 2, Joined: 9})
	counts, _ = facts.Counts()
	require.EqualValues(t, 2, counts.Joined)

	empty := ""
	w.append("!a", "@alice", "m.room.name", &empty, `{"name":"x"}`, "")
	w.applyAll()
	_, known = facts.Counts()
	require.False(t, known, "the room may have got a name")
}
