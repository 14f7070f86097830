package room_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRelationsRefusals(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.create("")
		root := g.say("alice", id, "root")
		private := g.createWith("alice", map[string]any{"preset": "private_chat"})
		secret := g.say("alice", private, "secret")
		for name, c := range map[string]struct {
			path   string
			status int
			code   string
		}{
			"no such room":  {roomPath("!nowhere:hs", "relations", root), 404, "M_NOT_FOUND"},
			"no such event": {roomPath(id, "relations", "$nothing"), 404, "M_NOT_FOUND"},
			"other room":    {roomPath(private, "relations", root), 404, "M_NOT_FOUND"},
			"not a member":  {roomPath(private, "relations", secret), 404, "M_NOT_FOUND"},
			"dir":           {roomPath(id, "relations", root) + "?dir=x", 400, "M_INVALID_PARAM"},
			"limit":         {roomPath(id, "relations", root) + "?limit=0", 400, "M_INVALID_PARAM"},
			"limit text":    {roomPath(id, "relations", root) + "?limit=x", 400, "M_INVALID_PARAM"},
			"recurse":       {roomPath(id, "relations", root) + "?recurse=x", 400, "M_INVALID_PARAM"},
			"from":          {roomPath(id, "relations", root) + "?from=x", 400, "M_INVALID_PARAM"},
			"to":            {roomPath(id, "relations", root) + "?to=x", 400, "M_INVALID_PARAM"},

			"threads nowhere":      {roomPath("!nowhere:hs", "threads"), 403, "M_FORBIDDEN"},
			"threads, no member":   {roomPath(private, "threads"), 403, "M_FORBIDDEN"},
			"threads, from":        {roomPath(id, "threads") + "?from=x", 400, "M_INVALID_PARAM"},
			"threads, limit":       {roomPath(id, "threads") + "?limit=0", 400, "M_INVALID_PARAM"},
			"threads, include":     {roomPath(id, "threads") + "?include=none", 400, "M_INVALID_PARAM"},
			"threads, not in room": {roomPath(id, "threads"), 403, "M_FORBIDDEN"},
		} {
			user := "bob"
			if c.status == 400 {
				user = "alice"
			}
			a := g.v1(user, c.path)
			require.Equal(t, c.status, a.status, "%s: %s", name, a.body)
			require.Equal(t, c.code, a.code(), name)
		}
	})
}

func TestRelationsPage(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.create("")
		root := g.say("alice", id, "root")
		var all []string
		for i := range 11 {
			g.say("alice", id, "between")
			all = append(all, g.relate("alice", id, "org.custom", root, nil))
			if i == 5 {
				g.react("alice", id, root, "👍", "r")
			}
		}
		path := roomPath(id, "relations", root, "org.custom")
		for _, dir := range []string{"b", "f"} {
			for _, limit := range []int{1, 3, 11, 100} {
				var found []string
				pages := 0
				for from := ""; ; pages++ {
					a := g.v1("alice", fmt.Sprintf("%s?dir=%s&limit=%d&from=%s", path, dir, limit, from))
					require.Equal(t, 200, a.status, string(a.body))
					require.Equal(t, from, a.str("prev_batch"))
					require.NotContains(t, a.object(), "recursion_depth")
					found = append(found, a.ids("chunk")...)
					if from = a.str("next_batch"); from == "" {
						break
					}
				}
				if dir == "b" {
					slices.Reverse(found)
				}
				require.Equal(t, all, found, "dir %s limit %d", dir, limit)
				require.Equal(t, (len(all)-1)/limit, pages, "no page is empty")
			}
		}
		three, seven := g.v1("alice", path+"?limit=3").str("next_batch"), g.v1("alice", path+"?limit=7").str("next_batch")
		between := slices.Clone(all[4:8])
		require.Equal(t, between, g.v1("alice", path+"?dir=f&from="+seven+"&to="+three).ids("chunk"))
		slices.Reverse(between)
		require.Equal(t, between, g.v1("alice", path+"?from="+three+"&to="+seven).ids("chunk"))
		require.Empty(t, g.v1("alice", path+"?from="+seven+"&to="+three).ids("chunk"), "the wrong way round")
		start := g.page("alice", id, "dir=b&limit=1").str("start")
		require.Len(t, g.v1("alice", path+"?limit=100&from="+url.QueryEscape(start)).ids("chunk"), 11, "a token of messages")
	})
}

func TestRelationsFilterAndRecurse(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.create("")
		root := g.say("alice", id, "root")
		reply := g.relate("alice", id, "m.thread", root, nil)
		reaction := g.react("alice", id, reply, "👍", "1").str("event_id")
		edit := g.edit("alice", id, reply, "x")
		onEdit := g.react("alice", id, edit, "👍", "2").str("event_id")
		deep := g.react("alice", id, onEdit, "👍", "3").str("event_id")
		deeper := g.react("alice", id, deep, "👍", "4").str("event_id")
		own := g.react("alice", id, root, "👍", "5").str("event_id")
		ask := func(query string, parts ...string) answer {
			a := g.v1("alice", roomPath(id, append([]string{"relations", root}, parts...)...)+"?dir=f"+query)
			require.Equal(t, 200, a.status, string(a.body))
			return a
		}
		require.Equal(t, []string{reply, own}, ask("").ids("chunk"))
		require.Equal(t, []string{reply}, ask("", "m.thread").ids("chunk"))
		require.Equal(t, []string{own}, ask("", "m.annotation", "m.reaction").ids("chunk"))
		require.Empty(t, ask("", "m.annotation", "m.room.message").ids("chunk"))
		require.Empty(t, ask("", "org.nothing").list("chunk"))
		require.EqualValues(t, 1, ask("&recurse=false").object()["recursion_depth"])

		all := ask("&recurse=true")
		require.EqualValues(t, 4, all.object()["recursion_depth"])
		require.Equal(t, []string{reply, reaction, edit, onEdit, deep, own}, all.ids("chunk"), "four relations deep")
		require.NotContains(t, all.ids("chunk"), deeper)
		require.Equal(t, []string{own}, ask("&recurse=true", "m.annotation").ids("chunk"), "only over what passes")
		var paged []string
		for from := ""; ; {
			a := ask("&recurse=true&limit=2&from=" + from)
			paged = append(paged, a.ids("chunk")...)
			if from = a.str("next_batch"); from == "" {
				break
			}
		}
		require.Equal(t, all.ids("chunk"), paged)
		g.gone("alice", id, reply)
		require.Equal(t, []string{own}, ask("&recurse=true").ids("chunk"), "what is redacted does not relate")
		g.gone("alice", id, root)
		require.Equal(t, []string{own}, ask("").ids("chunk"), "what relates to it stays")
	})
}
