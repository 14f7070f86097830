package syncroom_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// What a large room has, and how many rooms the user has who has many.
const (
	largeMembers = 10_000
	largeEvents  = 100_000
	manyRooms    = 2_000
)

const lazily = `{"room":{"state":{"lazy_load_members":true},"timeline":{"limit":20,"lazy_load_members":true}}}`

// heapNow is the heap that is in use, of all services of the rig and their users together.
func heapNow(b *testing.B) {
	heap, _ := heapAndStacks()
	b.ReportMetric(float64(heap)/(1<<20), "heap-MiB")
}

// BenchmarkLargeRoom measures what people do in a room of 10,000 members and 100,000 events.
func BenchmarkLargeRoom(b *testing.B) {
	if testing.Short() {
		b.Skip("takes minutes to set up")
	}
	for _, database := range []string{"sqlite", "postgres"} {
		rooms, syncs := databases[database](b)
		g := newRig(b, rooms, syncs)
		alice, room := crowd(g, largeMembers)
		parallel(largeEvents, func(i int) { alice.say(room, fmt.Sprint("the wild geese carry letters, number ", i)) })
		member := g.client("m0")
		member.filter = lazily
		in := "/rooms/" + url.PathEscape(room)
		joined, from := 0, ""
		for _, op := range []struct {
			name string
			do   func(b *testing.B)
		}{
			{"join", func(*testing.B) {
				joined++
				g.client(fmt.Sprint("late", joined)).join(room)
			}},
			{"send", func(*testing.B) { alice.say(room, "one more") }},
			{"members", func(b *testing.B) {
				wantSome(b, alice.do(g.rooms, http.MethodGet, in+"/members", nil).body, "chunk", largeMembers)
			}},
			{"back-paging 100", func(b *testing.B) { from = page(b, member, in, from, 100) }},
			{"initial sync", func(b *testing.B) { wantSome(b, member.raw("", 0), "rooms.join."+escaped(room)+".timeline.events", 20) }},
			{"send and incremental sync", func(*testing.B) {
				if member.since == "" {
					member.follow(0)
				}
				alice.say(room, "the newest")
				for !bytes.Contains(member.follow(time.Minute), []byte("the newest")) {
				}
			}},
		} {
			b.Run(database+"/"+op.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					op.do(b)
				}
				b.StopTimer()
				heapNow(b)
			})
		}
	}
}

// page reads events of the past from a place, and returns the next one: the newest after the beginning of the room.
func page(b *testing.B, c *client, in, from string, limit int) string {
	if from != "" {
		from = "&from=" + url.QueryEscape(from)
	}
	body := c.do(c.g.rooms, http.MethodGet, fmt.Sprintf("%s/messages?dir=b&limit=%d%s", in, limit, from), nil).body
	end := gjson.GetBytes(body, "end").Str
	if end != "" {
		wantSome(b, body, "chunk", limit)
	}
	return end
}

func escaped(path string) string {
	return string(bytes.ReplaceAll([]byte(path), []byte("."), []byte(`\.`)))
}

func wantSome(b *testing.B, body []byte, path string, n int) {
	if got := gjson.GetBytes(body, path+".#").Int(); got < int64(n) {
		b.Fatalf("%s has %d of %d", path, got, n)
	}
}

// BenchmarkManyRooms measures the syncs of a user in 2,000 rooms.
func BenchmarkManyRooms(b *testing.B) {
	if testing.Short() {
		b.Skip("takes a minute to set up")
	}
	for _, database := range []string{"sqlite", "postgres"} {
		rooms, syncs := databases[database](b)
		g := newRig(b, rooms, syncs)
		alice, bob := g.client("alice"), g.client("bob")
		bob.filter = lazily
		all := make([]string, manyRooms)
		parallel(manyRooms, func(i int) {
			all[i] = alice.create(nil)
			bob.join(all[i])
			alice.say(all[i], "welcome")
		})
		b.Run(database+"/initial sync", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				wantRooms(b, bob.raw("", 0), manyRooms)
			}
			b.StopTimer()
			heapNow(b)
		})
		bob.follow(0)
		b.Run(database+"/send and incremental sync", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				alice.say(all[i%manyRooms], "the newest")
				for !bytes.Contains(bob.follow(time.Minute), []byte("the newest")) {
				}
			}
		})
		b.Run(database+"/cold start", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				g.restart()
				<-g.sync.service.Ready()
				alice.say(all[0], "while you were away")
				b.StartTimer()
				if body := bob.follow(time.Minute); !bytes.Contains(body, []byte("while you were away")) {
					b.Fatal(string(body))
				}
			}
			b.StopTimer()
			heapNow(b)
		})
	}
}

func wantRooms(b *testing.B, body []byte, n int) {
	if got := len(gjson.GetBytes(body, "rooms.join").Map()); got != n {
		b.Fatalf("%d rooms of %d", got, n)
	}
}
