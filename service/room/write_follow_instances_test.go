package room_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	identitypb "hongyan/api/identity"
	"hongyan/matrix/event"
)

// TestOneInstanceFollowsForAll takes one instance after another away while profiles change.
func TestOneInstanceFollowsForAll(t *testing.T) {
	url := databases["postgres"](t)
	first := newWorld(t, url, nil)
	worlds := []*world{first, newWorld(t, url, first), newWorld(t, url, first)}
	id := first.create("")
	first.people.set("alice", "Alice", "")
	last := worlds[len(worlds)-1]
	name := func() any { return last.content("alice", id, "m.room.member", userID("alice"))["displayname"] }
	rename := func(to string) {
		first.people.set("alice", to, "")
		first.people.tell("alice", identitypb.UserEventKind_USER_EVENT_KIND_PROFILE_CHANGED, "displayname")
		await(t, "the name "+to, func() bool { return name() == to })
	}
	rename("Alice 0")
	before := first.people.askedSoFar()
	rename("Alice 1")
	require.Equal(t, before+1, first.people.askedSoFar(), "one instance follows")

	// The holder hangs: somebody whom nobody knows has the lease, and it runs out.
	_, err := last.db.Exec(context.Background(), `UPDATE room_lease SET holder = 'hung'`)
	require.NoError(t, err)
	rename("Alice 2")
	for i, g := range worlds[:len(worlds)-1] {
		g.stop()
		rename(fmt.Sprintf("Alice %d", 3+i))
	}
	last.verify(id, event.V12)
}

func TestOneInstanceMakesTheDeactivatedLeave(t *testing.T) {
	url := databases["postgres"](t)
	one := newWorld(t, url, nil)
	two := newWorld(t, url, one)
	id := one.create("")
	one.act("bob", id, "join")
	one.stop()
	two.people.tell("bob", identitypb.UserEventKind_USER_EVENT_KIND_DEACTIVATED)
	await(t, "that bob has left", func() bool {
		return two.content("alice", id, "m.room.member", userID("bob"))["membership"] == "leave"
	})
}
