package room_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkRelations measures what must not grow with how much relates to an event, nor with the room's threads, on SQLite. With
// recurse it grows: every event that relates is looked at.
func BenchmarkRelations(b *testing.B) {
	for _, replies := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("replies=%d", replies), func(b *testing.B) {
			g := newRig(b, databases["sqlite"](b))
			roomID := g.create("")
			g.act("bob", roomID, "join")
			root := g.say("alice", roomID, "root")
			g.fillThreads(roomID, root, replies)
			for _, path := range []string{
				"relations/" + root, "relations/" + root + "/m.thread?limit=50", "relations/" + root + "/m.replace", "threads?limit=20",
				"relations/" + root + "?recurse=true&limit=50",
			} {
				b.Run(path[:min(9, len(path))]+path[min(9+len(root)+1, len(path)):], func(b *testing.B) {
					for b.Loop() {
						require.Equal(b, http.StatusOK, g.v1("bob", "/rooms/"+roomID+"/"+path).status)
					}
				})
			}
			b.Run("event with its thread", func(b *testing.B) {
				for b.Loop() {
					require.NotEmpty(b, g.bundled("bob", roomID, root))
				}
			})
			b.Run("messages", func(b *testing.B) {
				for b.Loop() {
					g.page("bob", roomID, "dir=b&limit=20")
				}
			})
			b.Run("send a message", func(b *testing.B) {
				for b.Loop() {
					g.say("alice", roomID, "x")
				}
			})
			b.Run("send a reply", func(b *testing.B) {
				for b.Loop() {
					g.relate("alice", roomID, "m.thread", root, nil)
				}
			})
			b.Run("send a reaction", func(b *testing.B) {
				i := 0
				for b.Loop() {
					i++
					require.Equal(b, http.StatusOK, g.react("alice", roomID, root, fmt.Sprint(i), fmt.Sprint("b", i)).status)
				}
			})
		})
	}
}

// fillThreads makes as many replies to one event, a tenth as many edits of it, and a tenth as many further threads.
func (g *rig) fillThreads(roomID, root string, replies int) {
	const senders = 64
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := s; i < replies; i += senders {
				g.relate("alice", roomID, "m.thread", root, nil)
				if i%10 == 0 {
					g.edit("alice", roomID, root, "better")
					g.relate("alice", roomID, "m.thread", g.say("alice", roomID, "another"), nil)
				}
			}
		})
	}
	wg.Wait()
}
