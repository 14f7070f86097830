package room_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/room"
)

// TestIgnoredUsersVanishFromHistory reads history on each path as somebody who ignores somebody: what that one said is not
// there, what they did to the room's state is.
func TestIgnoredUsersVanishFromHistory(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			told := &ignoring{lists: map[string][]string{userID("alice"): {userID("bob")}}}
			g := newRigWith(t, open(t), room.Deps{Sync: told})
			id := g.createWith("alice", map[string]any{"preset": "trusted_private_chat", "invite": []string{userID("bob")}})
			joined := g.ok("POST", "bob", roomPath(id, "join"), nil)
			require.Equal(t, id, joined.str("room_id"))
			first, his, last := g.say("alice", id, "first"), g.say("bob", id, "his"), g.say("alice", id, "last")
			topic := g.setState("bob", id, "m.room.topic", "", map[string]any{"topic": "t"})

			ids := g.get("alice", roomPath(id, "messages")+"?dir=b&limit=3").ids("chunk")
			require.Equal(t, []string{topic, last, first}, ids, "a page is filled up")
			require.Contains(t, g.get("alice", roomPath(id, "messages")+"?dir=f&limit=100").ids("chunk"), topic)
			require.NotContains(t, g.get("alice", roomPath(id, "messages")+"?dir=f&limit=100").ids("chunk"), his)
			context := g.get("alice", roomPath(id, "context", last))
			require.Equal(t, 200, context.status)
			require.NotContains(t, string(context.body), his)
			require.Contains(t, string(context.body), topic)
			require.NotEmpty(t, context.list("state"))
			require.NotContains(t, string(g.get("alice", roomPath(id, "initialSync")).body), his)
			for _, what := range []string{"event", "context"} {
				a := g.get("alice", roomPath(id, what, his))
				require.Equal(t, 404, a.status, what)
				require.Equal(t, "M_NOT_FOUND", a.code(), what)
				require.Equal(t, 200, g.get("alice", roomPath(id, what, topic)).status, what)
				require.Equal(t, 200, g.get("bob", roomPath(id, what, his)).status, "who ignores nobody sees all")
			}

			told.err = errors.New("away")
			require.NotContains(t, g.get("alice", roomPath(id, "messages")+"?dir=b").ids("chunk"), his, "what is known goes on to hold")
			require.Contains(t, g.get("bob", roomPath(id, "messages")+"?dir=b").ids("chunk"), his)
			told.err, told.lists = nil, nil
			require.Contains(t, g.get("alice", roomPath(id, "messages")+"?dir=b").ids("chunk"), his, "at once")
		})
	}
}

// TestHistoryGoesOnWithoutSync reads on an instance that was told nothing before sync went away.
func TestHistoryGoesOnWithoutSync(t *testing.T) {
	told := &ignoring{err: errors.New("away")}
	g := newRigWith(t, databases["sqlite"](t), room.Deps{Sync: told})
	id := g.create("")
	root := g.say("alice", id, "root")
	reply := g.relate("alice", id, "m.thread", root, nil)
	for _, path := range []string{"messages?dir=b", "context/" + root, "event/" + root, "initialSync"} {
		require.Equal(t, 200, g.get("alice", roomPath(id)+"/"+path).status, path)
	}
	require.Equal(t, []string{reply}, g.v1("alice", roomPath(id, "relations", root)).ids("chunk"))
	require.Equal(t, 200, g.v1("alice", roomPath(id, "threads")).status)
}

// TestInitialSyncGivesAccountData shows what the reader has attached to the room.
func TestInitialSyncGivesAccountData(t *testing.T) {
	told := &ignoring{attached: map[string]string{"m.tag": `{"tags":{"u.x":{}}}`}}
	g := newRigWith(t, databases["sqlite"](t), room.Deps{Sync: told})
	id := g.create("")
	data := g.get("alice", roomPath(id, "initialSync")).list("account_data")
	require.Len(t, data, 1)
	require.Equal(t, "m.tag", data[0]["type"])
	require.Contains(t, data[0]["content"], "tags")
}
