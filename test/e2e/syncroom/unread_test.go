package syncroom_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func (r result) unread() [2]int {
	return [2]int{r.num("unread_notifications", "notification_count"), r.num("unread_notifications", "highlight_count")}
}

func (c *client) receipt(room, kind, event string, body any) {
	c.g.t.Helper()
	c.ok(http.MethodPost, "/rooms/"+esc(room)+"/receipt/"+kind+"/"+esc(event), body)
}

func TestUnreadCounts(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		room := alice.create(nil)
		bob.join(room)
		bob.sync()
		first := alice.say(room, "one")
		alice.send(room, "m.room.message", map[string]any{
			"msgtype": "m.text", "body": "hey", "m.mentions": map[string]any{"user_ids": []any{bob.user}},
		})
		gap()
		require.Equal(t, [2]int{2, 1}, bob.sync().join(room).unread())
		require.Equal(t, [2]int{0, 0}, alice.sync().join(room).unread(), "own events never count")

		bob.receipt(room, "m.read", first, map[string]any{})
		gap()
		r := bob.sync().join(room)
		require.Equal(t, [2]int{1, 1}, r.unread())
		last := alice.say(room, "three")
		require.Equal(t, [2]int{2, 1}, bob.sync().join(room).unread())
		bob.receipt(room, "m.read.private", last, map[string]any{})
		r = bob.sync().join(room)
		require.Equal(t, [2]int{0, 0}, r.unread())
		content := r.list("ephemeral", "events")[0].get("content", last, "m.read.private", bob.user)
		require.True(t, content.has("ts"), "a private receipt comes back to its user")
		seen := alice.sync().join(room).list("ephemeral", "events")
		require.True(t, seen[0].has("content", first), "the others see the public one")
		require.False(t, seen[0].has("content", last), "and not the private one")
		bob.receipt(room, "m.read", first, map[string]any{})
		alice.say(room, "four")
		require.Equal(t, [2]int{1, 0}, bob.sync().join(room).unread(), "an older receipt rewinds nothing")
		bob.say(room, "who writes has read")
		require.Equal(t, [2]int{0, 0}, bob.sync().join(room).unread())
	})
}

func TestUnreadByThread(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		room := alice.create(nil)
		bob.join(room)
		bob.sync()
		root := alice.say(room, "root")
		inThread := func(text string) string {
			return alice.send(room, "m.room.message", map[string]any{
				"msgtype": "m.text", "body": text, "m.relates_to": map[string]any{"rel_type": "m.thread", "event_id": root},
			})
		}
		inThread("a")
		b := inThread("b")
		gap()
		require.Equal(t, [2]int{3, 0}, bob.at(bob.since, 0).join(room).unread(), "without the filter counts are of all threads")
		bob.filter = `{"room":{"timeline":{"unread_thread_notifications":true}}}`
		r := bob.sync().join(room)
		require.Equal(t, [2]int{1, 0}, r.unread())
		require.Equal(t, 2, r.num("unread_thread_notifications", root, "notification_count"))
		bob.receipt(room, "m.read", b, map[string]any{"thread_id": root})
		r = bob.sync().join(room)
		require.Equal(t, [2]int{1, 0}, r.unread())
		require.False(t, r.has("unread_thread_notifications"))
		bob.receipt(room, "m.read", root, map[string]any{"thread_id": "main"})
		require.Equal(t, [2]int{0, 0}, bob.sync().join(room).unread())

		for _, bad := range []any{
			map[string]any{"thread_id": ""}, map[string]any{"thread_id": 1}, map[string]any{"thread_id": "main"},
			map[string]any{"thread_id": "$other"},
		} {
			a := bob.do(g.sync.handler, http.MethodPost, "/rooms/"+esc(room)+"/receipt/m.read/"+esc(b), bad)
			require.Equal(t, "M_INVALID_PARAM", a.object()["errcode"], bad)
		}
	})
}

func TestReceiptsAndMarkers(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		room := alice.create(nil)
		bob.join(room)
		id := alice.say(room, "read me")
		alice.sync()
		bob.sync()
		bob.ok(http.MethodPost, "/rooms/"+esc(room)+"/read_markers", map[string]any{"m.fully_read": id, "m.read": id})
		gap()
		r := alice.sync().join(room)
		require.Equal(t, []string{"m.receipt"}, r.types("ephemeral"))
		require.True(t, r.list("ephemeral", "events")[0].has("content", id, "m.read", bob.user, "ts"))
		require.False(t, alice.sync().has("rooms"))
		r = bob.sync().join(room)
		require.Equal(t, id, r.list("account_data", "events")[0].str("content", "event_id"))
		first := g.client("alice").sync().join(room)
		require.True(t, first.list("ephemeral", "events")[0].has("content", id, "m.read", bob.user), "an initial sync has receipts")

		for path, code := range map[string]string{
			"/receipt/m.bad/" + esc(id): "M_INVALID_PARAM", "/receipt/m.read/" + esc("$none"): "M_NOT_FOUND", "/receipt/m.read/bad": "M_INVALID_PARAM",
		} {
			a := bob.do(g.sync.handler, http.MethodPost, "/rooms/"+esc(room)+path, map[string]any{})
			require.Equal(t, code, a.object()["errcode"], path)
		}
		carol := g.client("carol")
		require.Equal(t, http.StatusForbidden, carol.do(g.sync.handler, http.MethodPost, "/rooms/"+esc(room)+"/receipt/m.read/"+esc(id), nil).status)
	})
}

func TestReceiptWakesAPoll(t *testing.T) {
	g := onSQLite(t)
	alice, bob := g.client("alice"), g.client("bob")
	room := alice.create(nil)
	bob.join(room)
	id := alice.say(room, "read me")
	alice.sync()
	done := make(chan result, 1)
	go func() { done <- alice.poll(20 * time.Second) }()
	bob.receipt(room, "m.read", id, map[string]any{})
	require.True(t, (<-done).join(room).has("ephemeral"))
}

func TestUnreadCountsManyRooms(t *testing.T) {
	g := onSQLite(t)
	alice, bob := g.client("alice"), g.client("bob")
	rooms := make([]string, 20)
	for i := range rooms {
		rooms[i] = alice.create(nil)
		bob.join(rooms[i])
		for j := range i {
			alice.say(rooms[i], fmt.Sprint(j))
		}
	}
	r := bob.sync()
	for i, room := range rooms {
		require.Equal(t, [2]int{i, 0}, r.join(room).unread())
	}
}
