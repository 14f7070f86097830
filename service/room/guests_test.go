package room_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
	"hongyan/platform/httpx"
	"hongyan/service/room"
)

func (g *world) guestJoins(name, roomID string) {
	g.t.Helper()
	guest := httpx.Caller{UserID: userID(name), DeviceID: "D", Guest: true}
	a := g.doAs(guest, http.MethodPost, roomPath(roomID, "join"), nil)
	require.Equal(g.t, http.StatusOK, a.status, string(a.body))
}

// Who closes a room to guests makes those leave who are in it, whichever instance hears of it, and nobody else.
func TestClosedRoomsAreLeftByGuests(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			first := newWorldOf(t, url, nil, room.Default(), nil)
			second := newWorldOf(t, url, first, room.Default(), nil)
			access := func(g *world, roomID, value string) {
				g.setState("alice", roomID, "m.room.guest_access", "", map[string]string{"guest_access": value})
			}
			id, other := first.create(""), first.create("")
			for _, r := range []string{id, other} {
				access(first, r, "can_join")
				first.act("bob", r, "join")
				for _, guest := range []string{"guest1", "guest2"} {
					first.guestJoins(guest, r)
				}
			}
			access(second, id, "forbidden")
			for _, guest := range []string{"guest1", "guest2"} {
				await(t, guest+" leaves", func() bool { return first.membership("alice", id, guest) == "leave" })
				require.Equal(t, "join", first.membership("alice", other, guest))
			}
			require.Equal(t, "join", first.membership("alice", id, "bob"))
			first.verify(id, event.V12)
			await(t, "the end of it", func() bool {
				var n int64
				require.NoError(t, first.db.QueryRow(t.Context(), `SELECT count(*) FROM guest_check`).Scan(&n))
				return n == 0
			})
			access(first, id, "can_join")
			first.guestJoins("guest1", id)
			require.Equal(t, "join", first.membership("alice", id, "guest1"))
		})
	}
}

// Redacting what opens a room closes it, and guests do not knock, in whatever way.
func TestGuestsWhereNothingLetsThemIn(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.create("")
		opened := g.setState("alice", id, "m.room.guest_access", "", map[string]string{"guest_access": "can_join"})
		g.guestJoins("guest1", id)
		g.ok(http.MethodPut, "alice", roomPath(id, "redact", opened, "t"), map[string]any{})
		await(t, "the guest leaves", func() bool { return g.membership("alice", id, "guest1") == "leave" })

		door := g.knockRoom("12", "knock")
		guest := httpx.Caller{UserID: userID("guest2"), DeviceID: "D", Guest: true}
		require.Equal(t, "M_GUEST_ACCESS_FORBIDDEN", g.doAs(guest, http.MethodPost, "/knock/"+door, map[string]any{}).code())
		require.Equal(t, "M_GUEST_ACCESS_FORBIDDEN", g.doAs(guest, http.MethodPut, roomPath(door, "state", "m.room.member", userID("guest2")),
			map[string]string{"membership": "knock"}).code())
	})
}
