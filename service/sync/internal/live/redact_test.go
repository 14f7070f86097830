package live_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/sync/internal/live"
)

// redact appends a redaction and returns its id.
func (w *world) redact(room, id string) string {
	return w.append(room, "@mod", "m.room.redaction", nil, fmt.Sprintf(`{"reason":"abuse of %s","redacts":%q}`, id, id), "").Ref
}

// ring returns what the ring of a room holds.
func (w *world) ring(room *live.Room) []*live.Event {
	var r live.Range
	w.node.Range(room, 0, 1<<40, &r)
	require.True(w.t, r.Covered)
	return r.Events
}

func TestARedactionPrunesAllThatMemoryHas(t *testing.T) {
	w := newWorld(t, live.Default())
	w.start()
	u := w.attach("@alice")
	w.member("!a", "@alice", "join")
	bob, empty := "@bob", ""
	first := w.append("!a", bob, "m.room.member", &bob, `{"displayname":"ABUSE","membership":"join"}`, "")
	levels := w.append("!a", "@alice", "m.room.power_levels", &empty, `{"ABUSE":1,"users_default":7}`, "")
	w.applyAll()
	change, _ := u.Room("!a")
	facts := &change.Room.Facts
	events := w.ring(change.Room)
	member, power := live.StateKey{Type: "m.room.member", Key: bob}, live.StateKey{Type: "m.room.power_levels"}
	facts.PutState(3, map[live.StateKey]*live.Event{member: events[1], power: events[2], {Type: "x"}: nil})
	w.redact("!a", levels.Ref)
	w.redact("!a", first.Ref)
	w.applyAll()

	for _, key := range []live.StateKey{member, power} {
		e, known := facts.State(key)
		require.True(t, known)
		require.NotContains(t, string(e.JSON), "ABUSE", "the facts are pruned")
		require.NotEmpty(t, e.RedactedBecause)
	}
	e, _ := facts.State(power)
	require.JSONEq(t, `{"users_default":7}`, string(e.Content()), "what is left of the power levels counts from now on")
	for _, e := range w.ring(change.Room)[:3] {
		require.NotContains(t, string(e.JSON), "ABUSE", "the ring is pruned")
	}
	facts.PutState(3, map[live.StateKey]*live.Event{member: events[1]})
	e, _ = facts.State(member)
	require.NotContains(t, string(e.JSON), "ABUSE", "what was read before the redaction is outdated")
}

func TestARedactionPrunesWhatOthersQuote(t *testing.T) {
	w := newWorld(t, live.Default())
	w.start()
	u := w.attach("@alice")
	w.member("!a", "@alice", "join")
	bob := "@bob"
	abusive := `{"displayname":"ABUSE","membership":"join"}`
	first := w.append("!a", bob, "m.room.member", &bob, abusive, "")
	w.append("!a", bob, "m.room.member", &bob, `{"displayname":"Bob","membership":"join"}`, abusive)
	said := w.say("!a", bob)
	reason := w.redact("!a", said.Ref)
	w.applyAll()
	change, _ := u.Room("!a")
	member := live.StateKey{Type: "m.room.member", Key: bob}
	successor := w.ring(change.Room)[2]
	require.Contains(t, string(successor.PrevContent), "ABUSE")
	change.Room.Facts.PutState(5, map[live.StateKey]*live.Event{member: successor})
	require.Contains(t, string(w.ring(change.Room)[3].RedactedBecause), "abuse of")

	w.redact("!a", first.Ref)
	w.redact("!a", reason)
	w.applyAll()
	successor = w.ring(change.Room)[2]
	require.JSONEq(t, `{"membership":"join"}`, string(successor.PrevContent))
	require.Contains(t, string(successor.JSON), "Bob")
	fact, _ := change.Room.Facts.State(member)
	require.JSONEq(t, `{"membership":"join"}`, string(fact.PrevContent))
	because := string(w.ring(change.Room)[3].RedactedBecause)
	require.NotContains(t, because, "abuse of", "why an event was redacted goes when the redaction is redacted")
	require.Contains(t, because, reason)
	w.member("!a", "@alice", "leave")
	w.applyAll()
	require.Zero(t, w.node.Stats().RingBytes, "the bytes of the ring were kept right")
}
