package room_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
	"hongyan/platform/httpx"
)

// TestUpgradeGoesOnWhereItEnded repeats an upgrade whose instance ended between the two rooms.
func TestUpgradeGoesOnWhereItEnded(t *testing.T) {
	url := databases["postgres"](t)
	one := newWorld(t, url, nil)
	two := newWorld(t, url, one)
	old := one.createWith("alice", map[string]any{"preset": "public_chat", "room_alias_name": "geese", "visibility": "public"})
	caller := httpx.Caller{UserID: userID("alice"), DeviceID: "D", IdempotencyKey: "k"}
	r := httptest.NewRequest(http.MethodPost, "/_matrix/client/v3"+roomPath(old, "upgrade"), nil)
	httpx.SetCaller(r.Header, caller)
	half, err := one.service.ReplaceRoom(r, old, "11")
	require.NoError(t, err)

	one.say("alice", old, "nothing has happened to the old room")
	require.Nil(t, two.content("alice", old, "m.room.tombstone", ""))
	require.Equal(t, old, two.aliasOf("#geese:hs"))
	require.Equal(t, "public", two.directory(old))
	require.Equal(t, "private", two.directory(half))

	count := two.countRooms()
	for _, g := range []*world{two, one} {
		a := g.doAs(caller, http.MethodPost, roomPath(old, "upgrade"), map[string]string{"new_version": "11"})
		require.Equal(t, 200, a.status, string(a.body))
		require.Equal(t, half, a.str("replacement_room"))
	}
	require.Equal(t, count, two.countRooms(), "it goes on with the same room")
	require.Equal(t, half, one.content("alice", old, "m.room.tombstone", "")["replacement_room"])
	require.Equal(t, half, one.aliasOf("#geese:hs"))
	require.Equal(t, "public", one.directory(half))
	one.verify(old, event.V12)
	one.verify(half, event.V11)
}

// TestUpgradeAtTwoInstances sends one request to two instances at once, as a gateway does that believes the first one dead.
func TestUpgradeAtTwoInstances(t *testing.T) {
	url := databases["postgres"](t)
	one := newWorld(t, url, nil)
	two := newWorld(t, url, one)
	for range 5 {
		old := one.create("")
		two.say("alice", old, "two knows the room")
		count := one.countRooms()
		caller := httpx.Caller{UserID: userID("alice"), DeviceID: "D", IdempotencyKey: "key of " + old}
		var answers [2]answer
		var both sync.WaitGroup
		for i, g := range []*world{one, two} {
			both.Go(func() {
				answers[i] = g.doAs(caller, http.MethodPost, roomPath(old, "upgrade"), map[string]string{"new_version": "12"})
			})
		}
		both.Wait()
		require.Equal(t, 200, answers[0].status, string(answers[0].body))
		require.Equal(t, string(answers[0].body), string(answers[1].body))
		require.Equal(t, count+1, one.countRooms())
		one.verify(old, event.V12)
		one.verify(answers[0].str("replacement_room"), event.V12)
	}
}

// TestTwoUpgrades upgrades a room twice, from the same state of it: aliases, directory and tombstone lead to one new room.
func TestTwoUpgrades(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		old := g.createWith("alice", map[string]any{"preset": "public_chat", "room_alias_name": "geese", "visibility": "public"})
		var answers [2]answer
		var both sync.WaitGroup
		for i := range answers {
			both.Go(func() {
				caller := httpx.Caller{UserID: userID("alice"), DeviceID: "D", IdempotencyKey: fmt.Sprint("key ", i)}
				answers[i] = g.doAs(caller, http.MethodPost, roomPath(old, "upgrade"), map[string]string{"new_version": "12"})
			})
		}
		both.Wait()
		now := g.content("alice", old, "m.room.tombstone", "")["replacement_room"]
		require.Equal(t, now, g.aliasOf("#geese:hs"))
		require.Equal(t, "public", g.directory(now.(string)))
		last := ""
		for _, a := range answers {
			if a.status == 200 {
				last = a.str("replacement_room")
			} else {
				require.Equal(t, "M_FORBIDDEN", a.code(), string(a.body))
			}
		}
		require.NotEmpty(t, last)
		// Once it is known, a replaced room can be replaced again.
		again := g.upgraded("alice", old, map[string]any{"new_version": "11"})
		require.Equal(t, again, g.content("alice", old, "m.room.tombstone", "")["replacement_room"])
	})
}
