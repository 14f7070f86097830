package syncroom_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRoomJoinedSinceComesLikeAnInitialOne(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		bob.sync()
		room := alice.create(nil)
		alice.sayAll(room, texts(0, 25))
		bob.join(room)
		gap()
		r := bob.sync()
		require.Equal(t, true, r.join(room).get("timeline", "limited").v)
		require.Contains(t, r.join(room).keys("state"), "m.room.create")
		require.Contains(t, r.join(room).keys("timeline"), "m.room.member @bob:hs")
		require.Equal(t, 2, r.join(room).num("summary", "m.joined_member_count"))
		require.False(t, bob.sync().has("rooms"))
	})
}

func TestRejoinIsANewlyJoinedRoom(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		room := alice.create(nil)
		bob.join(room)
		bob.sync()
		bob.leave(room)
		alice.sayAll(room, texts(0, 25))
		alice.state(room, "m.room.topic", "", map[string]any{"topic": "missed"})
		bob.join(room)
		gap()
		r := bob.sync()
		require.False(t, r.leaves(room).v != nil, "join, leave, join shows the join only")
		keys := append(r.join(room).keys("state"), r.join(room).keys("timeline")...)
		require.Contains(t, keys, "m.room.create", "the whole state comes")
		require.Contains(t, keys, "m.room.topic")
	})
}

func TestProfileChangeIsNoRejoin(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		room := alice.create(nil)
		bob.join(room)
		bob.sync()
		bob.state(room, "m.room.member", bob.user, map[string]any{"membership": "join", "displayname": "Bobby"})
		gap()
		r := bob.sync().join(room)
		require.Equal(t, []string{"m.room.member @bob:hs"}, r.keys("timeline"))
		require.Empty(t, r.keys("state"))
		require.Equal(t, false, r.get("timeline", "limited").v)
	})
}

func TestLeftRoomComesOnceAndEndsWithTheLeave(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		room := alice.create(nil)
		bob.join(room)
		bob.sync()
		alice.say(room, "seen")
		alice.state(room, "m.room.history_visibility", "", map[string]any{"history_visibility": "joined"})
		bob.leave(room)
		alice.say(room, "not seen")
		gap()
		r := bob.sync()
		require.False(t, r.join(room).v != nil)
		require.Equal(t, []string{"seen"}, r.leaves(room).bodies())
		keys := r.leaves(room).keys("timeline")
		require.Equal(t, "m.room.member @bob:hs", keys[len(keys)-1])
		alice.say(room, "not seen either")
		require.False(t, bob.sync().has("rooms"))

		fresh := g.client("bob")
		require.False(t, fresh.sync().leaves(room).v != nil, "an initial sync has no left rooms")
		fresh = g.client("bob")
		fresh.filter = `{"room":{"include_leave":true}}`
		left := fresh.sync().leaves(room)
		require.True(t, left.v != nil, "unless it asks for them")
		require.NotContains(t, left.bodies(), "not seen")
		bob.room(http.MethodPost, "/rooms/"+esc(room)+"/forget", nil)
		fresh = g.client("bob")
		fresh.filter = `{"room":{"include_leave":true}}`
		require.False(t, fresh.sync().leaves(room).v != nil, "a forgotten room is gone")
	})
}

func TestLeftAndForgottenShowsOnce(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		room := alice.create(nil)
		bob.join(room)
		bob.sync()
		bob.leave(room)
		bob.room(http.MethodPost, "/rooms/"+esc(room)+"/forget", nil)
		gap()
		require.True(t, bob.sync().leaves(room).v != nil)
		require.False(t, bob.sync().has("rooms"))
	})
}

func TestKickAndBanEndInTheLeaveSection(t *testing.T) {
	g := onSQLite(t)
	alice, bob := g.client("alice"), g.client("bob")
	for _, action := range []string{"kick", "ban"} {
		room := alice.create(nil)
		bob.join(room)
		bob.sync()
		alice.room(http.MethodPost, "/rooms/"+esc(room)+"/"+action, map[string]any{"user_id": bob.user})
		r := bob.sync()
		keys := r.leaves(room).keys("timeline")
		require.Equal(t, []string{"m.room.member @bob:hs"}, keys, action)
		require.False(t, bob.sync().has("rooms"), action)
	}
}

func TestInvite(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		bob.sync()
		room := alice.create(map[string]any{"preset": "private_chat", "name": "Secret", "invite": []string{bob.user}})
		gap()
		r := bob.sync()
		keys := r.get("rooms", "invite", room).keys("invite_state")
		for _, key := range []string{"m.room.create", "m.room.join_rules", "m.room.name", "m.room.member @bob:hs"} {
			require.Contains(t, keys, key)
		}
		alice.say(room, "between us")
		require.False(t, bob.sync().has("rooms"), "an invite gives no events")
		require.True(t, g.client("bob").sync().get("rooms", "invite", room).v != nil)

		bob.leave(room)
		r = bob.sync()
		require.Equal(t, []string{"m.room.member @bob:hs"}, r.leaves(room).keys("timeline"))
		require.Empty(t, r.leaves(room).keys("state"), "who never joined sees no state")
		require.Empty(t, r.leaves(room).bodies())
	})
}

func TestInvitesOfIgnoredUsersAreHidden(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		bob.sync()
		room := alice.create(nil)
		bob.join(room)
		bob.ok(http.MethodPut, "/user/"+bob.user+"/account_data/m.ignored_user_list",
			map[string]any{"ignored_users": map[string]any{alice.user: map[string]any{}}})
		bob.sync()
		alice.create(map[string]any{"preset": "private_chat", "invite": []string{bob.user}})
		alice.say(room, "hidden")
		alice.state(room, "m.room.topic", "", map[string]any{"topic": "shown"})
		gap()
		r := bob.sync()
		require.False(t, r.has("rooms", "invite"))
		require.Empty(t, r.join(room).bodies())
		require.Equal(t, []string{"m.room.topic"}, r.join(room).keys("timeline"), "state is still told")
		bob.ok(http.MethodPut, "/user/"+bob.user+"/account_data/m.ignored_user_list", map[string]any{"ignored_users": map[string]any{}})
		bob.ok(http.MethodPut, "/user/"+bob.user+"/account_data/m.invite_permission_config", map[string]any{"default_action": "block"})
		require.False(t, g.client("bob").sync().has("rooms", "invite"), "who takes no invites is shown none")
	})
}

func TestPollWakesForAJoinAndAnInvite(t *testing.T) {
	g := onSQLite(t)
	alice, bob := g.client("alice"), g.client("bob")
	bob.sync()
	done := make(chan result, 1)
	go func() { done <- bob.poll(20 * time.Second) }()
	room := alice.create(map[string]any{"preset": "private_chat", "invite": []string{bob.user}})
	require.True(t, (<-done).get("rooms", "invite", room).v != nil)
	go func() { done <- bob.poll(20 * time.Second) }()
	bob.join(room)
	require.True(t, (<-done).join(room).v != nil)
}

func TestSummaryFollowsTheMembers(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		room := alice.create(map[string]any{"preset": "public_chat"})
		alice.sync()
		bob.join(room)
		gap()
		r := alice.sync().join(room)
		require.Equal(t, 2, r.num("summary", "m.joined_member_count"))
		require.Equal(t, []any{"@bob:hs"}, r.get("summary", "m.heroes").v)
		for i := range 8 {
			g.client(fmt.Sprintf("user%d", i)).join(room)
		}
		gap()
		r = alice.sync().join(room)
		require.Equal(t, 10, r.num("summary", "m.joined_member_count"))
		alice.invite(room, g.client("late"))
		require.Equal(t, 1, alice.sync().join(room).num("summary", "m.invited_member_count"))
		bob.leave(room)
		r = alice.sync().join(room)
		require.Equal(t, 9, r.num("summary", "m.joined_member_count"))
		require.NotContains(t, r.get("summary", "m.heroes").v, "@bob:hs")
		require.False(t, alice.at(alice.since, 0).has("rooms"))
	})
}

func TestTokensFromElsewhere(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice := g.client("alice")
		room := alice.create(nil)
		alice.sayAll(room, texts(0, 3))
		alice.sync()
		t.Run("another instance", func(t *testing.T) {
			second := g.startSync()
			defer second.stop()
			alice.say(room, "everywhere")
			elsewhere := *alice
			elsewhere.node = second
			require.Equal(t, []string{"everywhere"}, elsewhere.at(alice.since, 0).join(room).bodies())
			require.Equal(t, []string{"everywhere"}, alice.sync().join(room).bodies())
		})
		t.Run("garbage", func(t *testing.T) {
			a := alice.do(g.sync.handler, http.MethodGet, "/sync?since="+url.QueryEscape("s72594_4483_1934"), nil)
			require.Equal(t, http.StatusBadRequest, a.status)
			require.Equal(t, "M_INVALID_PARAM", a.object()["errcode"])
		})
		t.Run("another epoch or beyond the head", func(t *testing.T) {
			for _, token := range g.strangeTokens(alice.since) {
				r := alice.at(token, 0)
				require.Equal(t, true, r.join(room).get("timeline", "limited").v)
				require.Contains(t, append(r.join(room).keys("state"), r.join(room).keys("timeline")...), "m.room.create")
				next := alice.at(r.str("next_batch"), 0)
				require.False(t, next.has("rooms"), "and then it goes on as always")
			}
		})
	})
}

// TestReplacedStateIsHidden tells who joins what the room's state is, and not what it was before.
func TestReplacedStateIsHidden(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.client("alice"), g.client("bob")
		room := alice.create(nil)
		alice.state(room, "m.room.history_visibility", "", worldReadable("joined"))
		alice.state(room, "m.room.topic", "", map[string]any{"topic": "OLD SECRET"})
		alice.state(room, "m.room.topic", "", map[string]any{"topic": "clean"})
		bob.join(room)
		first := bob.do(bob.handler(), http.MethodGet, "/sync?"+bob.query("", 0), nil)
		require.Contains(t, string(first.body), "clean")
		require.NotContains(t, string(first.body), "OLD SECRET")
		bob.sync()
		alice.state(room, "m.room.topic", "", map[string]any{"topic": "newer"})
		next := bob.do(bob.handler(), http.MethodGet, "/sync?"+bob.query(bob.since, 0), nil)
		require.Contains(t, string(next.body), `"prev_content":{"topic":"clean"}`)
	})
}
