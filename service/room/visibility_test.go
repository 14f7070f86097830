package room_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	roompb "hongyan/api/room"
)

// scripts are what happens between bob and a room of alice's; before and after each step alice says something.
var scripts = []string{
	"",
	"invite",
	"join",
	"invite join",
	"invite leave",
	"join leave",
	"invite join leave",
	"join leave join",
	"join kick",
	"join ban",
	"ban",
	"ban unban join",
	"join ban unban",
	"invite ban",
	"join leave invite",
	"join leave invite leave",
	"join leave invite join",
	"join leave ban",
	"join leave forget",
	"join leave forget invite",
	"join leave forget invite leave",
	"join leave forget invite join",
	"join leave forget ban",
	"join ban forget unban",
	"join leave forget vis:invited invite",
	"join leave forget invite leave forget invite",
	"join leave forget join",
	"join leave forget join leave",
	"join leave forget join leave forget invite",
	"join leave join leave",
	"join vis:joined vis:world_readable vis:shared leave",
	"vis:joined vis:world_readable vis:invited",
	"vis:world_readable join leave vis:shared",
	"invite vis:invited join vis:joined leave vis:world_readable",
	"join leave vis:world_readable vis:shared",
	"vis:nonsense join",
}

func TestHistoryVisibilityOnEveryReadPath(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		for _, visibility := range []string{"", "world_readable", "shared", "invited", "joined"} {
			for _, script := range scripts {
				t.Run(visibility+"/"+script, func(t *testing.T) {
					g := &rig{t: t, service: g.service, handler: g.handler, client: g.client, db: g.db}
					roomID := g.create(visibility)
					g.play(roomID, script)
					g.checkReads(roomID, forgottenEvents(script))
				})
			}
		}
	})
}

// play has the steps of a script happen.
func (g *rig) play(roomID, script string) {
	g.t.Helper()
	g.say("alice", roomID, "before")
	for step := range strings.FieldsSeq(script) {
		switch what, arg, _ := strings.Cut(step, ":"); what {
		case "join", "leave", "forget":
			g.act("bob", roomID, what)
		case "vis":
			g.setState("alice", roomID, "m.room.history_visibility", "", map[string]string{"history_visibility": arg})
		default:
			g.to("alice", roomID, what, "bob")
		}
		g.say("alice", roomID, "after "+step)
	}
}

// forgottenEvents counts those of bob's member events in a script that he has forgotten at its end.
func forgottenEvents(script string) int {
	events, forgotten := 0, 0
	for step := range strings.FieldsSeq(script) {
		switch {
		case strings.HasPrefix(step, "vis:"):
		case step == "forget":
			forgotten = events
		default:
			events++
			if step == "join" {
				forgotten = 0
			}
		}
	}
	return forgotten
}

// checkReads compares what bob may read on every path with the rules of the specification.
func (g *rig) checkReads(roomID string, forgot int) {
	t := g.t
	all := g.timeline("alice", roomID, 100)
	require.Equal(t, "m.room.create", all[0]["type"], "alice was there from the beginning")
	want := judge(all, userID("bob"), forgot)

	visible := []string{}
	for i, e := range all {
		id := e["event_id"].(string)
		status := http.StatusNotFound
		if want.visible[i] {
			status = http.StatusOK
			if i <= want.through {
				visible = append(visible, id)
			}
		}
		about := e["type"].(string) + " " + want.reason[i]
		require.Equal(t, status, g.get("bob", roomPath(roomID, "event", id)).status, "event: %s", about)
		require.Equal(t, status, g.get("bob", roomPath(roomID, "context", id)).status, "context: %s", about)
		_, err := g.client.Locate(t.Context(), &roompb.LocateRequest{RoomId: roomID, EventId: id, UserId: userID("bob")})
		require.Equal(t, status == http.StatusOK, err == nil, "locate: %s: %v", about, err)
	}
	if want.through < 0 {
		for _, path := range []string{"messages?dir=b", "state", "members", "state/m.room.create/", "joined_members"} {
			a := g.get("bob", roomPath(roomID)+"/"+path)
			require.Equal(t, http.StatusForbidden, a.status, "%s: %s", path, a.body)
			require.Equal(t, "M_FORBIDDEN", a.code())
		}
		return
	}
	require.Equal(t, visible, eventIDs(g.timeline("bob", roomID, 3)), "forwards")
	backwards := g.get("bob", roomPath(roomID)+"/messages?dir=b&limit=100").ids("chunk")
	slices.Reverse(backwards)
	require.Equal(t, visible, backwards, "backwards")
	g.checkContext(roomID, visible)
	g.checkState(roomID, all, want)
}

// checkContext looks at what stands around each visible event.
func (g *rig) checkContext(roomID string, visible []string) {
	for i, id := range visible {
		a := g.get("bob", roomPath(roomID, "context", id)+"?limit=4")
		before := slices.Clone(visible[max(0, i-2):i])
		slices.Reverse(before)
		require.Equal(g.t, before, a.ids("events_before"))
		require.Equal(g.t, visible[i+1:min(len(visible), i+3)], a.ids("events_after"))
	}
}

// checkState compares the state and the members that bob gets with what they were then.
func (g *rig) checkState(roomID string, all []map[string]any, want verdict) {
	state := map[[2]string]string{}
	members := []string{}
	for _, e := range all[:want.stateThrough+1] {
		if key, ok := e["state_key"].(string); ok {
			state[[2]string{e["type"].(string), key}] = e["event_id"].(string)
		}
	}
	got := map[[2]string]string{}
	for _, e := range g.get("bob", roomPath(roomID, "state")).list("") {
		key := [2]string{e["type"].(string), e["state_key"].(string)}
		got[key] = e["event_id"].(string)
		if key[0] == "m.room.member" {
			members = append(members, key[1])
		}
	}
	require.Equal(g.t, state, got)
	for key, id := range state {
		a := g.get("bob", roomPath(roomID, "state", key[0], key[1])+"?format=event")
		require.Equal(g.t, id, a.str("event_id"))
	}
	var listed []string
	for _, e := range g.get("bob", roomPath(roomID, "members")).list("chunk") {
		listed = append(listed, e["state_key"].(string))
	}
	require.ElementsMatch(g.t, members, listed)
	status := http.StatusForbidden
	if want.joined {
		status = http.StatusOK
	}
	require.Equal(g.t, status, g.get("bob", roomPath(roomID, "joined_members")).status)
}

// verdict is what a user may see, by index into all events of a room.
type verdict struct {
	visible []bool
	reason  []string
	// through is the last event of their timeline, stateThrough the one at which they see the state; -1 for no access.
	through, stateThrough int
	joined                bool
}

// judge applies the text of the specification ("Room History Visibility", "Server behaviour") to each event by itself. The
// user's first member events, as many as they forgot, say nothing of them.
func judge(all []map[string]any, user string, forgot int) verdict {
	visibility, membership := "shared", "leave"
	lastJoin, leftAt := -1, -1
	var before, after [][2]string
	for i, e := range all {
		before = append(before, [2]string{visibility, membership})
		content := e["content"].(map[string]any)
		switch {
		case e["type"] == "m.room.history_visibility":
			if visibility, _ = content["history_visibility"].(string); !slices.Contains([]string{"world_readable", "invited", "joined"}, visibility) {
				visibility = "shared"
			}
		case e["type"] == "m.room.member" && e["state_key"] == user && forgot > 0:
			forgot--
		case e["type"] == "m.room.member" && e["state_key"] == user:
			old := membership
			if membership, _ = content["membership"].(string); membership == "join" && old != "join" {
				lastJoin = i
			} else if old == "join" && membership != "join" {
				leftAt = i
			}
		}
		after = append(after, [2]string{visibility, membership})
	}
	allowed := func(i int, state [2]string) bool {
		return state[0] == "world_readable" || state[1] == "join" ||
			state[0] == "shared" && lastJoin > i || state[1] == "invite" && state[0] == "invited"
	}
	v := verdict{joined: membership == "join", through: -1, stateThrough: -1}
	for i, e := range all {
		ownEnd := e["type"] == "m.room.member" && e["state_key"] == user && before[i][1] != "leave" &&
			before[i][1] != "ban" && (after[i][1] == "leave" || after[i][1] == "ban")
		v.visible = append(v.visible, allowed(i, before[i]) && changesVisibility(e, user) || allowed(i, after[i]) || ownEnd)
		v.reason = append(v.reason, strings.Join(append(before[i][:], after[i][:]...), ","))
	}
	last := len(all) - 1
	switch {
	case v.joined:
		v.through, v.stateThrough = last, last
	case lastJoin >= 0:
		v.through, v.stateThrough = leftAt, leftAt
	case visibility == "world_readable":
		v.stateThrough = last
	}
	if visibility == "world_readable" {
		v.through = last
	}
	return v
}

// changesVisibility says for which events the state before them counts as well.
func changesVisibility(e map[string]any, user string) bool {
	return e["type"] == "m.room.history_visibility" || e["type"] == "m.room.member" && e["state_key"] == user
}

// TestReplacedStateIsHidden leaves out of state what it replaced when the reader may not see that.
func TestReplacedStateIsHidden(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.createWith("alice", map[string]any{"preset": "public_chat"})
		g.setState("alice", id, "m.room.history_visibility", "", map[string]any{"history_visibility": "joined"})
		g.setState("alice", id, "m.room.topic", "", map[string]any{"topic": "OLD SECRET"})
		g.setState("alice", id, "m.room.topic", "", map[string]any{"topic": "clean"})
		g.act("bob", id, "join")
		last := g.say("alice", id, "hello")
		for _, path := range []string{"state", "context/" + last, "initialSync", "messages?dir=b&limit=100"} {
			a := g.get("bob", roomPath(id)+"/"+path)
			require.Equal(t, 200, a.status, path)
			require.NotContains(t, string(a.body), "OLD SECRET", path)
		}
		require.Contains(t, string(g.get("alice", roomPath(id, "state")).body), "OLD SECRET")
		g.setState("alice", id, "m.room.topic", "", map[string]any{"topic": "newer"})
		require.Contains(t, string(g.get("bob", roomPath(id)+"/messages?dir=b&limit=1").body), `"prev_content":{"topic":"clean"}`, "bob has seen it as state")
	})
}
