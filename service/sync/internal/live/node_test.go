package live_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
	"hongyan/service/sync/internal/live"
)

// TestEveryReaderSeesEverythingOnce lets readers come, read and go while the log grows and is applied, in rings so small
// that they overflow.
func TestEveryReaderSeesEverythingOnce(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			cfg := live.Default()
			cfg.RoomEvents = 8
			w := newWorld(t, cfg)
			rooms := make([]string, 12)
			for i := range rooms {
				rooms[i] = fmt.Sprintf("!room%d", i)
				w.member(rooms[i], "@owner", "join")
			}
			w.start()
			const users, messages = 8, 1500
			var writing, applying sync.WaitGroup
			var written atomic.Bool
			writing.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, 1))
				joined := map[string]bool{}
				for range messages {
					room := rooms[rnd.IntN(len(rooms))]
					user := fmt.Sprint("@user", rnd.IntN(users))
					if !joined[user+room] && rnd.IntN(4) == 0 {
						joined[user+room] = true
						w.member(room, user, "join")
					}
					w.say(room, "@owner")
				}
				written.Store(true)
			})
			for shard := range shards {
				applying.Go(func() {
					rnd := rand.New(rand.NewPCG(seed, 100+uint64(shard)))
					for !written.Load() {
						w.apply(shard, 1+rnd.IntN(5))
					}
					w.apply(shard, 1<<20)
				})
			}
			clients := make([]*client, 2*users)
			for i := range clients {
				applying.Go(func() {
					c := w.client(fmt.Sprint("@user", i%users))
					clients[i] = c
					for !written.Load() {
						c.sync()
					}
				})
			}
			writing.Wait()
			applying.Wait()
			for _, c := range clients {
				c.sync()
				c.sync()
				var mine []string
				for room, status := range w.status[c.u.ID] {
					require.Equal(t, "join", status)
					mine = append(mine, room)
				}
				c.requireAll(mine...)
			}
		})
	}
}

func TestWaiterIsWokenAfterTheCutCoversTheNews(t *testing.T) {
	w := newWorld(t, live.Default())
	w.member("!a", "@alice", "join")
	w.start()
	c := w.client("@alice")
	c.sync()
	waiter := c.u.Wait()
	defer waiter.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-waiter.C
		c.sync()
	}()
	w.say("!a", "@bob")
	w.applyAll()
	<-done
	c.requireAll("!a")
}

func TestMembershipsFollowTheLog(t *testing.T) {
	w := newWorld(t, live.Default())
	w.start()
	u := w.attach("@alice")
	for i, step := range []struct {
		membership string
		room       bool
	}{{"invite", false}, {"join", true}, {"leave", false}, {"join", true}, {"ban", false}} {
		w.member("!a", "@alice", step.membership)
		w.applyAll()
		change, ok := u.Room("!a")
		require.True(t, ok)
		require.Equal(t, event.Membership(step.membership), change.Membership)
		require.EqualValues(t, i+1, change.Seq)
		require.Equal(t, step.room, change.Room != nil, "only joined rooms are in memory")
	}
	require.Zero(t, w.node.Stats().Rooms)
	require.Zero(t, w.node.Stats().RingBytes)
}

func TestAnAnswerNeedsACutThatCoversTheMembership(t *testing.T) {
	w := newWorld(t, live.Default())
	w.start()
	u := w.attach("@alice")
	var old live.Cut
	w.node.Cut(u, &old)
	w.member("!a", "@alice", "join")
	w.applyAll()
	_, _, ok := u.Changed(nil, &live.Cut{Rooms: make([]int64, shards)}, &old, 0)
	require.False(t, ok)
}

func TestIdleUsersAndTheirRoomsLeaveMemory(t *testing.T) {
	cfg := live.Default()
	w := newWorld(t, cfg)
	w.member("!a", "@alice", "join")
	w.start()
	u := w.attach("@alice")
	w.say("!a", "@bob")
	w.applyAll()
	require.Equal(t, live.Stats{Users: 1, Rooms: 1, RingBytes: w.node.Stats().RingBytes}, w.node.Stats())
	w.pass(2 * cfg.UserIdle)
	w.node.Sweep()
	require.Equal(t, 1, w.node.Stats().Users, "somebody needs her")
	w.node.Detach(u)
	w.node.Sweep()
	require.Equal(t, 1, w.node.Stats().Users, "she may come back")
	w.pass(2 * cfg.UserIdle)
	w.node.Sweep()
	require.Equal(t, live.Stats{}, w.node.Stats())

	w.say("!a", "@bob")
	w.applyAll()
	c := w.client("@alice")
	c.sync()
	c.requireAll("!a")
}

func TestRingsStayWithinTheirBounds(t *testing.T) {
	cfg := live.Default()
	cfg.RoomEvents, cfg.RingBytes = 64, 20_000
	w := newWorld(t, cfg)
	for i := range 10 {
		w.member(fmt.Sprint("!room", i), "@alice", "join")
	}
	w.start()
	c := w.client("@alice")
	c.sync()
	for i := range 10 {
		for range 100 {
			w.say(fmt.Sprint("!room", i), "@bob")
		}
	}
	w.applyAll()
	w.node.Sweep()
	require.LessOrEqual(t, w.node.Stats().RingBytes, cfg.RingBytes)
	c.sync()
	for i := range 10 {
		c.requireAll(fmt.Sprint("!room", i))
	}
}

func TestAFailedLoadIsTriedAgain(t *testing.T) {
	w := newWorld(t, live.Default())
	w.member("!a", "@alice", "join")
	w.start()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w.say("!a", "@bob") // the database is ahead: the load has to wait for the log
	_, err := w.node.Attach(ctx, "@alice")
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, w.node.Stats().Users)
	done := make(chan *live.User)
	go func() { done <- w.attach("@alice") }()
	w.applyAll() // before or after the load has begun: either is right
	change, ok := (<-done).Room("!a")
	require.True(t, ok)
	require.NotNil(t, change.Room)
}

func TestNobodyWaitsForANodeThatEnded(t *testing.T) {
	w := newWorld(t, live.Default())
	w.member("!a", "@alice", "join")
	waiting := make(chan error, 2)
	go func() {
		_, err := w.node.Attach(context.Background(), "@alice") // the logs' heads are never known
		waiting <- err
	}()
	started := newWorld(t, live.Default()).start()
	u := started.attach("@alice")
	go func() { waiting <- started.node.AwaitApplied(context.Background(), []int64{1}, u.Shard, 0) }()
	w.node.End()
	started.node.End()
	require.ErrorIs(t, <-waiting, live.ErrEnded)
	require.ErrorIs(t, <-waiting, live.ErrEnded)
	<-started.node.Ended()
}
