package syncroom_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// redact redacts an event.
func (c *client) redact(room, id string) {
	c.g.t.Helper()
	c.room(http.MethodPut, fmt.Sprintf("/rooms/%s/redact/%s/t%d", esc(room), esc(id), c.g.txn.Add(1)), map[string]any{})
}

func TestRedactedMembersAreNotShownToLazyClients(t *testing.T) {
	g := onSQLite(t)
	alice, bob, carol := g.client("alice"), g.client("bob"), g.client("carol")
	room := alice.create(nil)
	bob.join(room)
	carol.join(room)
	lazy := `{"room":{"state":{"lazy_load_members":true}}}`
	abuse := bob.state(room, "m.room.member", bob.user, map[string]any{"membership": "join", "displayname": "ABUSE"})
	alice.sync()
	carol.filter = lazy
	carol.sync()
	again := g.client("carol") // another device of hers, which fills the memory
	again.device, again.filter = "D2", lazy
	again.sync()
	for _, c := range []*client{carol, again} {
		bob.say(room, "one")
		c.sync()
	}
	alice.redact(room, abuse)
	again.sync()
	bob.say(room, "two")
	third := g.client("carol")
	third.device, third.filter, third.since = "D3", lazy, again.since
	r := third.at(again.since, 0).join(room)
	require.Equal(t, []string{"two"}, r.bodies())
	members := r.list("state", "events")
	require.Len(t, members, 1)
	require.Equal(t, bob.user, members[0].str("state_key"))
	require.False(t, members[0].has("content", "displayname"), members[0].v)

	bob.state(room, "m.room.member", bob.user, map[string]any{"membership": "join", "displayname": "ABUSE 2"})
	newer := bob.state(room, "m.room.member", bob.user, map[string]any{"membership": "join", "displayname": "WORSE"})
	bob.state(room, "m.room.member", bob.user, map[string]any{"membership": "join", "displayname": "Bob"})
	alice.redact(room, newer)
	alice.sync()
	events := third.at(again.since, 0).join(room).list("timeline", "events")
	for _, e := range events {
		require.NotContains(t, fmt.Sprint(e.v), "WORSE")
	}
}
