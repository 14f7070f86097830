package syncroom_test

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// crowd makes a room with so many members besides alice.
func crowd(g *rig, members int) (alice *client, room string) {
	alice = g.client("alice")
	room = alice.create(nil)
	parallel(members, func(i int) { g.client(fmt.Sprint("m", i)).join(room) })
	return alice, room
}

// BenchmarkSendIntoACrowd measures messages into a room of 10,000 members of whom some are connected, all with push rules
// and unread counts: from the send until all connected members have the message. Offline members must cost nothing.
func BenchmarkSendIntoACrowd(b *testing.B) {
	for _, database := range []string{"sqlite", "postgres"} {
		for _, c := range []struct{ members, online int }{{100, 0}, {10_000, 0}, {100, 100}, {10_000, 100}} {
			b.Run(fmt.Sprintf("%s/members=%d/online=%d", database, c.members, c.online), func(b *testing.B) {
				rooms, syncs := databases[database](b)
				g := newRig(b, rooms, syncs)
				alice, room := crowd(g, c.members)
				var wg sync.WaitGroup
				for i := range c.online {
					m := g.client(fmt.Sprint("m", i))
					m.follow(0)
					wg.Go(func() {
						for !bytes.Contains(m.follow(time.Second), []byte("that was the last")) {
						}
					})
				}
				b.ResetTimer()
				start, cpu := time.Now(), cpuTime()
				parallel(b.N, func(i int) { alice.say(room, fmt.Sprint("the wild geese carry letters, number ", i)) })
				alice.say(room, "that was the last")
				wg.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "sends/s")
				b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

// BenchmarkColdUnread measures the first sync of users who have not read 10,000 events, at a node that knows nothing:
// of one with the rules that all have, of one with a keyword that is a pattern, and of a second member after the first, for whom the node has the notes already.
func BenchmarkColdUnread(b *testing.B) {
	for _, database := range []string{"sqlite", "postgres"} {
		rooms, syncs := databases[database](b)
		g := newRig(b, rooms, syncs)
		alice, room := crowd(g, 10)
		const events = 10_000
		ids := make([]string, events)
		parallel(events, func(i int) { ids[i] = alice.say(room, fmt.Sprint("the wild geese carry letters, number ", i)) })
		keyword := g.client("m1")
		keyword.ok(http.MethodPut, "/pushrules/global/content/k", map[string]any{"pattern": "l*s", "actions": []any{"notify", map[string]any{"set_tweak": "highlight"}}})
		for _, c := range []struct {
			name  string
			who   string
			first string
			want  [2]int
		}{
			{"default", "m0", "", [2]int{events, 0}}, {"second member", "m0", "m2", [2]int{events, 0}}, {"keyword", "m1", "", [2]int{events, events}},
		} {
			b.Run(database+"/"+c.name, func(b *testing.B) {
				var took time.Duration
				for b.Loop() {
					b.StopTimer()
					g.restart()
					if c.first != "" {
						g.client(c.first).raw("", 0)
					}
					b.StartTimer()
					start := time.Now()
					body := g.client(c.who).raw("", 0)
					took += time.Since(start)
					require.NotEmpty(b, body)
					b.StopTimer()
					require.Equal(b, c.want, g.client(c.who).at("", 0).join(room).unread())
					b.StartTimer()
				}
				b.ReportMetric(float64(took.Milliseconds())/float64(b.N), "ms/first-sync")
			})
		}
	}
}
