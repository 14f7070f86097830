package room_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
)

func TestAnnotationsAreMadeOnce(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.create("")
		g.act("bob", id, "join")
		target, other := g.say("alice", id, "one"), g.say("alice", id, "two")
		first := g.react("bob", id, target, "👍", "t1")
		require.Equal(t, 200, first.status)
		refused := func(a answer) {
			t.Helper()
			require.Equal(t, 400, a.status, string(a.body))
			require.Equal(t, "M_DUPLICATE_ANNOTATION", a.code())
		}
		refused(g.react("bob", id, target, "👍", "t2"))
		require.Equal(t, first, g.react("bob", id, target, "👍", "t1"), "a repetition of the same request")
		for name, a := range map[string]answer{
			"another key":    g.react("bob", id, target, "👎", "t3"),
			"another event":  g.react("bob", id, other, "👍", "t4"),
			"another sender": g.react("alice", id, target, "👍", "t5"),
			"another type": g.do(http.MethodPut, "bob", roomPath(id, "send", "org.other", "t6"), map[string]any{
				"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": target, "key": "👍"},
			}),
		} {
			require.Equal(t, 200, a.status, "%s: %s", name, a.body)
		}
		long := strings.Repeat("x", 3000)
		require.Equal(t, 200, g.react("bob", id, target, long, "t7").status)
		require.Equal(t, 200, g.react("bob", id, target, long+"y", "t8").status)
		refused(g.react("bob", id, target, long, "t9"))
		nul := "a\x00b"
		require.Equal(t, 200, g.react("bob", id, target, nul, "t10").status)
		refused(g.react("bob", id, target, nul, "t11"))

		g.gone("bob", id, first.str("event_id"))
		again := g.react("bob", id, target, "👍", "t12")
		require.Equal(t, 200, again.status, "the first one was redacted")
		refused(g.react("bob", id, target, "👍", "t13"))
		require.Equal(t, first, g.react("bob", id, target, "👍", "t1"))
		g.verify(id, event.V12)
	})
}

// TestAnnotationsAreMadeOnceByTwoInstances has both instances annotate the same events with the same key at the same time.
func TestAnnotationsAreMadeOnceByTwoInstances(t *testing.T) {
	url := databases["postgres"](t)
	one := newWorld(t, url, nil)
	both := [2]*world{one, newWorld(t, url, one)}
	id := one.create("")
	for i := range 20 {
		target := one.say("alice", id, fmt.Sprint(i))
		var wg sync.WaitGroup
		answers := make([]answer, 6)
		for j := range answers {
			wg.Go(func() { answers[j] = both[j%2].react("alice", id, target, "👍", fmt.Sprintf("%d-%d", i, j)) })
		}
		wg.Wait()
		made := 0
		for _, a := range answers {
			if a.status == 200 {
				made++
				continue
			}
			require.Equal(t, "M_DUPLICATE_ANNOTATION", a.code(), string(a.body))
		}
		require.Equal(t, 1, made)
	}
	one.verify(id, event.V12)
}

func TestThreadsStartAtTheMainTimeline(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.create("")
		root := g.say("alice", id, "root")
		reply := g.relate("alice", id, "m.thread", root, nil)
		edit := g.edit("alice", id, root, "better")
		reaction := g.react("alice", id, root, "👍", "r").str("event_id")
		for name, target := range map[string]string{"reply": reply, "edit": edit, "reaction": reaction} {
			a := g.do(http.MethodPut, "alice", roomPath(id, "send", "m.room.message", "to-"+name), relationTo("m.thread", target, nil))
			require.Equal(t, 400, a.status, name)
			require.Equal(t, "M_UNKNOWN", a.code(), name)
		}
		// An answer that is no relation, by rel_type, may have a thread, and so may what is not known to relate any more.
		rich := g.send("alice", id, "m.room.message", map[string]any{
			"body": "re", "m.relates_to": map[string]any{"m.in_reply_to": map[string]string{"event_id": root}},
		})
		g.relate("alice", id, "m.thread", rich, nil)
		g.gone("alice", id, reaction)
		g.relate("alice", id, "m.thread", reaction, nil)
		g.relate("alice", id, "m.thread", "$nowhere", nil)
		require.NotNil(t, g.bundled("alice", id, rich)["m.thread"])
		g.verify(id, event.V12)
	})
}

// TestThreadsAreCountedByTwoInstances has both instances add replies and redact some of them.
func TestThreadsAreCountedByTwoInstances(t *testing.T) {
	url := databases["postgres"](t)
	one := newWorld(t, url, nil)
	both := [2]*world{one, newWorld(t, url, one)}
	id := one.create("")
	root := one.say("alice", id, "root")
	const senders, each = 6, 12
	var wg sync.WaitGroup
	for s := range senders {
		g := both[s%2]
		g.act(fmt.Sprint("u", s), id, "join")
		wg.Go(func() {
			for i := range each {
				reply := g.relate(fmt.Sprint("u", s), id, "m.thread", root, nil)
				if i%3 == 0 {
					both[(s+1)%2].gone(fmt.Sprint("u", s), id, reply)
				}
			}
		})
	}
	wg.Wait()
	last := one.relate("alice", id, "m.thread", root, nil)
	before := both[1].relate("alice", id, "m.thread", root, nil)
	one.gone("alice", id, before)
	for _, g := range both {
		count, latest, _ := threadOf(t, g.bundled("u0", id, root))
		require.EqualValues(t, senders*each*2/3+1, count)
		require.Equal(t, last, latest)
	}
	one.verify(id, event.V12)
}
