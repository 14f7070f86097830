package room_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/room"
)

func TestNewestValidEdit(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.create("")
		g.act("bob", id, "join")
		original := g.say("alice", id, "a tpyo")
		require.Empty(t, g.bundled("alice", id, original))
		first := g.edit("alice", id, original, "a typo")
		edited := g.ok(http.MethodGet, "bob", roomPath(id, "event", original), nil).object()
		require.Equal(t, first, editOf(relationsIn(edited)))
		require.Equal(t, "a tpyo", edited["content"].(map[string]any)["body"], "the content stays as it was")
		full := relationsIn(edited)["m.replace"].(map[string]any)
		require.Equal(t, id, full["room_id"])
		require.Equal(t, "m.room.message", full["type"])
		require.NotNil(t, full["origin_server_ts"])
		require.Contains(t, full["unsigned"], "age")

		second := g.edit("alice", id, original, "a type")
		require.Equal(t, second, editOf(g.bundled("bob", id, original)))
		for name, send := range map[string]func(){
			"another sender": func() { g.edit("bob", id, original, "x") },
			"another type": func() {
				g.send("alice", id, "m.sticker", relationTo("m.replace", original, map[string]any{"m.new_content": map[string]any{}}))
			},
			"no new content":      func() { g.relate("alice", id, "m.replace", original, nil) },
			"new content no JSON": func() { g.relate("alice", id, "m.replace", original, map[string]any{"m.new_content": "x"}) },
			"a state event": func() {
				g.setState("alice", id, "m.room.message", "", relationTo("m.replace", original, map[string]any{"m.new_content": map[string]any{}}))
			},
		} {
			send()
			require.Equal(t, second, editOf(g.bundled("bob", id, original)), name)
		}
		third := g.edit("alice", id, second, "an edit of an edit")
		require.Empty(t, g.bundled("bob", id, second), "nobody edits an edit")
		require.Equal(t, second, editOf(g.bundled("bob", id, original)))
		g.gone("alice", id, third)

		g.gone("alice", id, second)
		require.Equal(t, first, editOf(g.bundled("bob", id, original)), "the edit before")
		g.gone("alice", id, first)
		require.Empty(t, g.bundled("bob", id, original))
		g.edit("alice", id, original, "again")
		g.gone("alice", id, original)
		require.Empty(t, g.bundled("bob", id, original), "what is redacted shows no edit")

		secret := g.send("alice", id, "m.room.encrypted", map[string]any{"ciphertext": "x"})
		g.send("alice", id, "m.room.message", relationTo("m.replace", secret, map[string]any{"m.new_content": map[string]any{}}))
		require.Empty(t, g.bundled("bob", id, secret))
		hidden := g.send("alice", id, "m.room.encrypted", map[string]any{
			"ciphertext": "y", "m.relates_to": map[string]string{"rel_type": "m.replace", "event_id": secret},
		})
		require.Equal(t, hidden, editOf(g.bundled("bob", id, secret)))
		topic := g.setState("alice", id, "m.room.topic", "", map[string]string{"topic": "x"})
		g.send("alice", id, "m.room.topic", relationTo("m.replace", topic, map[string]any{"m.new_content": map[string]any{}}))
		require.Empty(t, g.bundled("bob", id, topic), "state events are not edited")
	})
}

func TestReferencesAndThreads(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.create("")
		g.act("bob", id, "join")
		root := g.say("alice", id, "root")
		one, two := g.relate("bob", id, "m.reference", root, nil), g.relate("alice", id, "m.reference", root, nil)
		g.react("bob", id, root, "👍", "r")
		require.Equal(t, map[string]any{"m.reference": map[string]any{"chunk": []any{
			map[string]any{"event_id": one}, map[string]any{"event_id": two},
		}}}, g.bundled("bob", id, root), "annotations are not aggregated")
		g.gone("alice", id, two)
		g.gone("bob", id, one)
		require.Empty(t, g.bundled("bob", id, root))

		reply := g.relate("bob", id, "m.thread", root, nil)
		count, latest, participated := threadOf(t, g.bundled("bob", id, root))
		require.EqualValues(t, 1, count)
		require.Equal(t, reply, latest)
		require.True(t, participated)
		g.act("carol", id, "join")
		_, _, participated = threadOf(t, g.bundled("carol", id, root))
		require.False(t, participated)
		_, _, participated = threadOf(t, g.bundled("alice", id, root))
		require.True(t, participated, "whoever sent the root")

		edit := g.edit("bob", id, reply, "better")
		thread := g.bundled("carol", id, root)["m.thread"].(map[string]any)
		require.Equal(t, edit, editOf(relationsIn(thread["latest_event"].(map[string]any))), "the newest reply comes with its edit")
		later := g.relate("carol", id, "m.thread", root, nil)
		g.gone("carol", id, later)
		count, latest, participated = threadOf(t, g.bundled("carol", id, root))
		require.EqualValues(t, 1, count)
		require.Equal(t, reply, latest)
		require.False(t, participated)
		g.gone("alice", id, root)
		count, latest, _ = threadOf(t, g.bundled("carol", id, root))
		require.EqualValues(t, 1, count, "the thread outlives its root")
		require.Equal(t, reply, latest)
		g.gone("bob", id, reply)
		require.Empty(t, g.bundled("carol", id, root))
	})
}

// TestAggregationsOnEveryRead checks that all reads of the timeline tell them, and those of state do not.
func TestAggregationsOnEveryRead(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.create("")
		root := g.say("alice", id, "root")
		reply := g.relate("alice", id, "m.thread", root, nil)
		edit := g.edit("alice", id, reply, "x")
		in := func(list []map[string]any, id string) map[string]any {
			t.Helper()
			for _, e := range list {
				if e["event_id"] == id {
					return relationsIn(e)
				}
			}
			t.Fatalf("%s is not in %v", id, list)
			return nil
		}
		for name, list := range map[string][]map[string]any{
			"messages":       g.page("alice", id, "dir=b").list("chunk"),
			"events before":  g.get("alice", roomPath(id, "context", edit)).list("events_before"),
			"events around":  {g.get("alice", roomPath(id, "context", root)).object()["event"].(map[string]any)},
			"threads":        g.v1("alice", roomPath(id, "threads")).list("chunk"),
			"a single event": {g.get("alice", roomPath(id, "event", root)).object()},
		} {
			count, latest, _ := threadOf(t, in(list, root))
			require.EqualValues(t, 1, count, name)
			require.Equal(t, reply, latest, name)
		}
		after := g.get("alice", roomPath(id, "context", root)).list("events_after")
		require.Equal(t, edit, editOf(in(after, reply)))
		require.Equal(t, edit, editOf(in(g.v1("alice", roomPath(id, "relations", root)).list("chunk"), reply)))
	})
}

func TestAggregationsLeaveOutWhatIsHidden(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.create("joined")
		for _, u := range []string{"bob", "carol"} {
			g.act(u, id, "join")
		}
		root := g.say("alice", id, "root")
		first := g.relate("alice", id, "m.thread", root, nil)
		seen := g.edit("alice", id, root, "seen")
		g.act("bob", id, "leave")
		second := g.relate("alice", id, "m.thread", root, nil)
		hidden := g.edit("alice", id, root, "hidden")
		reference := g.relate("alice", id, "m.reference", root, nil)
		bundle := g.bundled("bob", id, root)
		count, latest, _ := threadOf(t, bundle)
		require.EqualValues(t, 1, count)
		require.Equal(t, first, latest)
		require.Equal(t, seen, editOf(bundle))
		require.NotContains(t, bundle, "m.reference")
		g.act("bob", id, "join")
		third := g.relate("alice", id, "m.thread", root, nil)
		bundle = g.bundled("bob", id, root)
		count, latest, _ = threadOf(t, bundle)
		require.EqualValues(t, 2, count, "the reply of the time between is hidden")
		require.Equal(t, third, latest)
		require.Equal(t, seen, editOf(bundle))
		require.Equal(t, []string{third, seen, first}, g.v1("bob", roomPath(id, "relations", root)).ids("chunk"))
		require.Equal(t, []string{third, reference, hidden, second, seen, first}, g.v1("carol", roomPath(id, "relations", root)).ids("chunk"))
		unseen := g.v1("bob", roomPath(id, "relations", second))
		require.Equal(t, 404, unseen.status)
		require.Equal(t, "M_NOT_FOUND", unseen.code())
	})
}

func TestAggregationsLeaveOutIgnoredUsers(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			told := &ignoring{lists: map[string][]string{userID("alice"): {userID("bob")}}}
			g := newRigWith(t, open(t), room.Deps{Sync: told})
			id := g.create("")
			g.act("bob", id, "join")
			root, his := g.say("alice", id, "root"), g.say("bob", id, "his")
			mine := g.relate("alice", id, "m.thread", root, nil)
			g.relate("bob", id, "m.thread", root, nil)
			g.relate("bob", id, "m.reference", root, nil)
			g.edit("bob", id, his, "x")
			bundle := g.bundled("alice", id, root)
			count, latest, _ := threadOf(t, bundle)
			require.EqualValues(t, 1, count)
			require.Equal(t, mine, latest)
			require.NotContains(t, bundle, "m.reference")
			require.Equal(t, 404, g.get("alice", roomPath(id, "event", his)).status)
			require.NotEmpty(t, g.bundled("bob", id, his))
			require.Equal(t, []string{mine}, g.v1("alice", roomPath(id, "relations", root)).ids("chunk"))

			g.relate("alice", id, "m.thread", his, nil)
			threads := g.v1("alice", roomPath(id, "threads")).list("chunk")
			require.Len(t, threads, 2)
			require.Equal(t, his, threads[0]["event_id"])
			require.Empty(t, threads[0]["content"], "the root of an ignored user comes as if it was redacted")
			require.Equal(t, "root", threads[1]["content"].(map[string]any)["body"])

			told.err = errors.New("away")
			require.Equal(t, []string{mine}, g.v1("alice", roomPath(id, "relations", root)).ids("chunk"), "what is known goes on to hold")
		})
	}
}
