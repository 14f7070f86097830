package syncroom_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	roompb "hongyan/api/room"
)

// Relations implements roompb.RoomClient.
func (c *counted) Relations(ctx context.Context, req *roompb.RelationsRequest, opts ...grpc.CallOption) (*roompb.RelationsResponse, error) {
	c.relations.Add(1)
	return c.RoomClient.Relations(ctx, req, opts...)
}

// relate sends an event that relates to another one.
func (c *client) relate(room, relType, target string) string {
	c.g.t.Helper()
	return c.send(room, "m.room.message", map[string]any{
		"body": relType, "m.new_content": map[string]any{"body": "new"},
		"m.relates_to": map[string]any{"rel_type": relType, "event_id": target},
	})
}

// relations are what an answer tells of the relations of an event in a timeline.
func (r result) relations(id string) result {
	r.t.Helper()
	for _, e := range r.list("timeline", "events") {
		if e.str("event_id") == id {
			return e.get("unsigned", "m.relations")
		}
	}
	r.t.Fatalf("%s is not in the timeline", id)
	return result{}
}

func TestLimitedTimelinesTellOfRelations(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		bob.filter = `{"room":{"timeline":{"limit":7}}}`
		room := alice.create(nil)
		bob.join(room)
		carol := g.client("carol").join(room)
		bob.ok(http.MethodPut, "/user/"+bob.user+"/account_data/m.ignored_user_list",
			map[string]any{"ignored_users": map[string]any{carol.user: map[string]any{}}})
		bob.sync()
		alice.sayAll(room, texts(0, 5))
		root, other := alice.say(room, "root"), alice.say(room, "other")
		reply := alice.relate(room, "m.thread", root)
		carol.relate(room, "m.thread", root)
		edit := alice.relate(room, "m.replace", reply)
		reference := alice.relate(room, "m.reference", other)
		carol.relate(room, "m.reference", other)
		before := bob.since
		gap()
		r := bob.sync().join(room)
		require.Equal(t, true, r.get("timeline", "limited").v)
		thread := r.relations(root).get("m.thread")
		require.Equal(t, 1, thread.num("count"), "without those of an ignored user")
		require.Equal(t, false, thread.get("current_user_participated").v)
		require.Equal(t, reply, thread.str("latest_event", "event_id"))
		require.False(t, thread.has("latest_event", "room_id"), "as events in /sync are")
		require.Equal(t, edit, thread.str("latest_event", "unsigned", "m.relations", "m.replace", "event_id"))
		require.Equal(t, edit, r.relations(reply).str("m.replace", "event_id"))
		require.Len(t, r.relations(other).list("m.reference", "chunk"), 1)
		require.Equal(t, reference, r.relations(other).list("m.reference", "chunk")[0].str("event_id"))

		// Whoever syncs anew gets the same; what comes whole needs none of it.
		anew := g.client("bob")
		anew.filter = bob.filter
		require.Equal(t, edit, anew.sync().join(room).relations(reply).str("m.replace", "event_id"))
		bob.filter, bob.since = `{"room":{"timeline":{"limit":100}}}`, before
		r = bob.sync().join(room)
		require.Equal(t, false, r.get("timeline", "limited").v)
		require.False(t, r.relations(root).has("m.thread"))
	})
}

// TestOrdinarySyncAsksForNoRelations checks that relations cost answers without gaps nothing.
func TestOrdinarySyncAsksForNoRelations(t *testing.T) {
	g := onSQLite(t)
	alice, bob := g.client("alice"), g.client("bob")
	room := alice.create(nil)
	bob.join(room)
	bob.sync()
	root := alice.say(room, "root")
	bob.sync()
	timelines := g.room.timelines.Load()
	alice.relate(room, "m.thread", root)
	alice.relate(room, "m.replace", root)
	require.Len(t, bob.sync().join(room).bodies(), 2)
	bob.filter = `{"room":{"timeline":{"limit":2}}}`
	alice.sayAll(room, texts(0, 5))
	require.Equal(t, true, bob.sync().join(room).get("timeline", "limited").v)
	require.Zero(t, g.room.relations.Load(), "nothing relates to what is shown")
	require.Equal(t, timelines, g.room.timelines.Load())
	root = alice.say(room, "root")
	alice.relate(room, "m.replace", root)
	bob.filter = `{"room":{"timeline":{"limit":1}}}`
	bob.sync()
	require.Zero(t, g.room.relations.Load(), "the edited event is not shown")
}
