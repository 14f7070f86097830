package room_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	roompb "hongyan/api/room"
)

// BenchmarkReads measures what must not grow with a room's history, on SQLite.
func BenchmarkReads(b *testing.B) {
	for _, events := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
			g := newRig(b, databases["sqlite"](b))
			roomID := g.create("")
			g.act("bob", roomID, "join")
			g.fill(roomID, events)
			benchmarkRoom(b, g, roomID)
		})
	}
}

// fill sends messages, and every hundredth time a topic.
func (g *rig) fill(roomID string, events int) {
	const senders = 64
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := s; i < events; i += senders {
				if i%100 == 0 {
					g.setState("alice", roomID, "m.room.topic", "", map[string]string{"topic": fmt.Sprint(i)})
				} else {
					g.say("alice", roomID, fmt.Sprint("message ", i))
				}
			}
		})
	}
	wg.Wait()
}

func benchmarkRoom(b *testing.B, g *rig, roomID string) {
	ctx := b.Context()
	head := g.head(roomID)
	back := g.page("bob", roomID, "dir=b&limit=50").str("end")
	run := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				require.NoError(b, f())
			}
		})
	}
	run("messages", func() error {
		g.page("bob", roomID, "dir=b&limit=20&from="+back)
		return nil
	})
	run("state", func() error {
		g.get("bob", roomPath(roomID, "state"))
		return nil
	})
	run("Timeline", func() error {
		_, err := g.client.Timeline(ctx, &roompb.TimelineRequest{
			RoomId: roomID, UserId: userID("bob"), After: head.HeadPosition - 100, Limit: 20,
		})
		return err
	})
	run("StateChanges", func() error {
		_, err := g.client.State(ctx, &roompb.StateRequest{RoomId: roomID, AfterSeq: head.HeadSeq - 200, AtSeq: head.HeadSeq})
		return err
	})
	run("StateLongAgo", func() error {
		_, err := g.client.State(ctx, &roompb.StateRequest{RoomId: roomID, AtSeq: 500})
		return err
	})
	run("UserRooms", func() error {
		_, err := g.client.UserRooms(ctx, &roompb.UserRoomsRequest{UserId: userID("bob")})
		return err
	})
}

// BenchmarkLargeRoom measures reads of a room with 10,000 members, and of a user with 1,000 rooms, on SQLite.
func BenchmarkLargeRoom(b *testing.B) {
	g := newRig(b, databases["sqlite"](b))
	roomID := g.create("")
	var wg sync.WaitGroup
	const joiners, members, rooms = 64, 10_000, 1_000
	for j := range joiners {
		wg.Go(func() {
			for i := j; i < members; i += joiners {
				g.act(fmt.Sprint("u", i), roomID, "join")
			}
			for i := j; i < rooms; i += joiners {
				g.act("bob", g.create(""), "join")
			}
		})
	}
	wg.Wait()
	ctx := b.Context()
	for name, f := range map[string]func() error{
		"members": func() error {
			require.Len(b, g.get("alice", roomPath(roomID, "members")).list("chunk"), members+1)
			return nil
		},
		"Members": func() error {
			_, err := g.client.Members(ctx, &roompb.MembersRequest{RoomIds: []string{roomID}})
			return err
		},
		"State lazy": func() error {
			_, err := g.client.State(ctx, &roompb.StateRequest{RoomId: roomID, Lazy: true})
			return err
		},
		"Summary": func() error {
			_, err := g.client.State(ctx, &roompb.StateRequest{
				RoomId: roomID, Keys: []*roompb.StateKey{{Type: "m.room.name"}}, SummaryFor: userID("alice"),
			})
			return err
		},
		"UserRooms": func() error {
			_, err := g.client.UserRooms(ctx, &roompb.UserRoomsRequest{UserId: userID("bob")})
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				require.NoError(b, f())
			}
		})
	}
}
