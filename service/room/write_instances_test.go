package room_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
	"hongyan/service/room"
)

// TestTwoInstancesOfOneRoom lets two instances write to one room, each believing that it owns it.
func TestTwoInstancesOfOneRoom(t *testing.T) {
	url := databases["postgres"](t)
	one := newWorld(t, url, nil)
	two := newWorld(t, url, one)
	both := [2]*world{one, two}
	const senders, messages = 8, 25
	id := one.create("")
	var wg sync.WaitGroup
	for s := range senders {
		user := fmt.Sprintf("user%d", s)
		both[s%2].act(user, id, "join")
		wg.Go(func() {
			for m := range messages {
				path := roomPath(id, "send", "m.room.message", fmt.Sprintf("t%d", m))
				body := fmt.Sprintf(`{"sender":%d,"n":%d}`, s, m)
				var answers [2]answer
				var same sync.WaitGroup
				for i, g := range both { // the same request at both instances
					same.Go(func() { answers[i] = g.doRaw(user, http.MethodPut, path, body) })
				}
				same.Wait()
				if answers[0].status != 200 || string(answers[0].body) != string(answers[1].body) {
					t.Errorf("%s: %d %s and %d %s", path, answers[0].status, answers[0].body, answers[1].status, answers[1].body)
				}
			}
		})
	}
	wg.Wait()
	checkMessages(t, one.verify(id, event.V12), senders, messages)
}

// TestStaleInstanceRefusesNobodyWrongly checks that what one instance was told is true at the other at once.
func TestStaleInstanceRefusesNobodyWrongly(t *testing.T) {
	url := databases["postgres"](t)
	one := newWorld(t, url, nil)
	two := newWorld(t, url, one)
	id := one.create("")
	two.say("alice", id, "two knows the room")
	for i := range 20 {
		user := fmt.Sprintf("user%d", i)
		one.act(user, id, "join")
		two.say(user, id, "hello")
		one.to("alice", id, "ban", user)
		a := two.do(http.MethodPut, user, roomPath(id, "send", "x", "after"), map[string]any{})
		require.Equal(t, 403, a.status, "banned through the other instance")
		require.Equal(t, 403, two.do(http.MethodPost, user, roomPath(id, "join"), nil).status)
		two.to("alice", id, "unban", user)
		one.act(user, id, "join")
	}
	one.ok(http.MethodPut, "alice", aliasPath("#a:hs"), map[string]string{"room_id": id})
	require.Equal(t, 409, two.do(http.MethodPut, "alice", aliasPath("#a:hs"), map[string]string{"room_id": id}).status)

	rules := map[string]string{"join_rule": "public", "note": "x"}
	event1 := two.setState("alice", id, "m.room.join_rules", "", rules)
	require.Equal(t, 200, one.redact("alice", id, event1, "r").status)
	require.NotEqual(t, event1, two.setState("alice", id, "m.room.join_rules", "", rules), "what was redacted is not the same any more")
	one.verify(id, event.V12)
}

// TestRoomIsReadAgain compares what an instance has in memory with what another one reads afresh.
func TestRoomIsReadAgain(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			var id string
			t.Run("write", func(t *testing.T) {
				g := newWorld(t, url, nil)
				id = g.createWith("alice", map[string]any{"room_version": "11", "preset": "public_chat"})
				for i := range 30 {
					g.act(fmt.Sprintf("user%d", i), id, "join")
				}
				g.act("user3", id, "leave")
				g.setState("alice", id, "m.room.power_levels", "", map[string]any{"users": map[string]int{userID("alice"): 100, userID("user4"): 50}})
			})
			g := newWorld(t, url, nil)
			g.to("user4", id, "kick", "user5")
			require.Equal(t, 403, g.do(http.MethodPost, "user6", roomPath(id, "kick"), map[string]string{"user_id": userID("user7")}).status)
			require.Equal(t, 403, g.do(http.MethodPut, "user3", roomPath(id, "send", "x", "1"), map[string]any{}).status)
			g.say("user8", id, "hello")
			g.verify(id, event.V11)
		})
	}
}

// TestEqualEventsAtOnce sends the same text twice within a millisecond, through an instance that has not heard of the first: the
// events would be equal to the last byte, and are two all the same.
func TestEqualEventsAtOnce(t *testing.T) {
	url := databases["postgres"](t)
	now := time.Now()
	clock := func() time.Time { return now }
	one := newWorldOf(t, url, nil, room.Default(), clock)
	two := newWorldOf(t, url, one, room.Default(), clock)
	id := one.create("")
	require.Equal(t, 200, two.get("alice", roomPath(id, "aliases")).status) // knows the room as it is now
	text := map[string]any{"msgtype": "m.text", "body": "ok"}
	first := one.ok(http.MethodPut, "alice", roomPath(id, "send", "m.room.message", "t1"), text).str("event_id")
	second := two.ok(http.MethodPut, "alice", roomPath(id, "send", "m.room.message", "t2"), text).str("event_id")
	require.NotEqual(t, first, second)
	require.Len(t, one.verify(id, event.V12), 8, "both are there")
}
