package live_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
	"hongyan/service/sync/internal/live"
)

// TestQuietRoomsAreNotNews loads a user after the node has begun in the middle of the log: that the node does not know
// what came before does not make rooms news that the database knows to be quiet.
func TestQuietRoomsAreNotNews(t *testing.T) {
	w := newWorld(t, live.Default())
	quiet, busy := "!quiet", sameShard("!quiet")
	w.member(quiet, "@alice", "join")
	w.member(busy, "@bob", "join")
	for range 100 {
		w.say(busy, "@bob")
	}
	w.start()
	since := live.Cut{Rooms: make([]int64, shards)}
	since.Rooms[eventlog.ShardOf(quiet, shards)] = 50
	w.say(busy, "@bob")
	w.applyAll()
	u := w.attach("@alice")
	var cut live.Cut
	w.node.Cut(u, &cut)
	changes, _, ok := u.Changed(nil, &since, &cut, 0)
	require.True(t, ok)
	require.Empty(t, changes)

	w.say(quiet, "@bob")
	w.applyAll()
	w.node.Cut(u, &cut)
	changes, _, _ = u.Changed(nil, &since, &cut, 0)
	require.Len(t, changes, 1)
}

// sameShard names another room of the same shard.
func sameShard(room string) string {
	for i := 0; ; i++ {
		other := fmt.Sprint("!other", i)
		if eventlog.ShardOf(other, shards) == eventlog.ShardOf(room, shards) {
			return other
		}
	}
}
