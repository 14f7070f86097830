package room_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	identitypb "hongyan/api/identity"
	"hongyan/matrix/event"
)

func TestMemberEventsFollowProfiles(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		g.people.set("bob", "Bob", "mxc://hs/1")
		var rooms []string
		for range 12 {
			id := g.create("")
			g.act("bob", id, "join")
			rooms = append(rooms, id)
		}
		g.act("bob", rooms[0], "leave")
		nick := map[string]any{"membership": "join", "displayname": "Nick", "avatar_url": "mxc://hs/1", "reason": "x", "org.example": 1}
		g.setState("bob", rooms[1], "m.room.member", userID("bob"), nick)
		g.people.set("bob", "Robert", "mxc://hs/2")
		g.people.tell("bob", identitypb.UserEventKind_USER_EVENT_KIND_PROFILE_CHANGED, "avatar_url")
		await(t, "avatars", func() bool {
			for _, id := range rooms[1:] {
				if g.content("alice", id, "m.room.member", userID("bob"))["avatar_url"] != "mxc://hs/2" {
					return false
				}
			}
			return true
		})
		require.Equal(t, map[string]any{
			"membership": "join", "displayname": "Nick", "avatar_url": "mxc://hs/2", "org.example": 1.0,
		}, g.content("alice", rooms[1], "m.room.member", userID("bob")), "only what changed follows")
		g.people.tell("bob", identitypb.UserEventKind_USER_EVENT_KIND_PROFILE_CHANGED, "displayname")
		await(t, "names", func() bool {
			for _, id := range rooms[1:] {
				if g.content("alice", id, "m.room.member", userID("bob"))["displayname"] != "Robert" {
					return false
				}
			}
			return true
		})
		require.Equal(t, "leave", g.content("alice", rooms[0], "m.room.member", userID("bob"))["membership"])
		require.Len(t, g.verify(rooms[2], event.V12), 6+1+2)

		// What does not concern members, and what is there already, writes nothing.
		g.people.tell("bob", identitypb.UserEventKind_USER_EVENT_KIND_PROFILE_CHANGED, "m.tz")
		g.people.tell("bob", identitypb.UserEventKind_USER_EVENT_KIND_PROFILE_CHANGED)
		invited := g.createWith("alice", map[string]any{"invite": []string{userID("bob")}})
		g.people.tell("bob", identitypb.UserEventKind_USER_EVENT_KIND_DEACTIVATED)
		await(t, "leaves", func() bool {
			for _, id := range append(rooms[1:], invited) {
				if g.content("alice", id, "m.room.member", userID("bob"))["membership"] != "leave" {
					return false
				}
			}
			return true
		})
		require.Len(t, g.verify(rooms[2], event.V12), 6+1+2+1)
		g.verify(invited, event.V12)
	})
}

func TestFollowingGoesOnAfterRestart(t *testing.T) {
	url := databases["sqlite"](t)
	var rooms []string
	var first *world
	t.Run("first", func(t *testing.T) {
		first = newWorld(t, url, nil)
		rooms = append(rooms, first.create(""))
	})
	// The first instance is gone with its people: the second one follows another log, of another epoch.
	second := newWorld(t, url, nil)
	second.people.set("alice", "Alice", "")
	second.people.tell("alice", identitypb.UserEventKind_USER_EVENT_KIND_PROFILE_CHANGED, "displayname")
	await(t, "name", func() bool {
		return second.content("alice", rooms[0], "m.room.member", userID("alice"))["displayname"] == "Alice"
	})
}

// A join that has read a profile which changes before the join is committed shows the new one in the end.
func TestJoinsShowTheNewestProfile(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		g.people.set("bob", "Bob", "mxc://hs/1")
		old := g.create("")
		g.act("bob", old, "join")
		for name, join := range map[string]func() (roomID string){
			"join": func() string {
				id := g.create("")
				g.act("bob", id, "join")
				return id
			},
			"state": func() string {
				id := g.create("")
				g.setState("bob", id, "m.room.member", userID("bob"), map[string]string{"membership": "join"})
				return id
			},
			"create": func() string {
				return g.createWith("bob", map[string]any{"invite": []string{userID("alice")}})
			},
		} {
			g.people.setAsking(func() {
				g.people.set("bob", name, "mxc://hs/1")
				g.people.tell("bob", identitypb.UserEventKind_USER_EVENT_KIND_PROFILE_CHANGED, "displayname")
				await(t, "the followers", func() bool {
					return g.content("alice", old, "m.room.member", userID("bob"))["displayname"] == name
				})
			}, "bob")
			id := join()
			require.Equal(t, name, g.content("bob", id, "m.room.member", userID("bob"))["displayname"])
			g.verify(id, event.V12)
		}
		// Whoever is deactivated meanwhile does not stay.
		id := g.create("")
		g.people.setAsking(func() {
			g.people.remove("bob")
			g.people.tell("bob", identitypb.UserEventKind_USER_EVENT_KIND_DEACTIVATED)
			await(t, "the followers", func() bool {
				return g.content("alice", old, "m.room.member", userID("bob"))["membership"] == "leave"
			})
		}, "bob")
		g.act("bob", id, "join")
		require.Equal(t, "leave", g.content("alice", id, "m.room.member", userID("bob"))["membership"])
	})
}
