package live_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
	"hongyan/service/sync/internal/live"
)

func TestTypingEndsByItself(t *testing.T) {
	w := newWorld(t, live.Default())
	w.member("!a", "@alice", "join")
	u := w.start().attach("@alice")
	change, _ := u.Room("!a")
	shard := eventlog.ShardOf("!a", shards)
	var before, after live.Cut
	w.node.Cut(u, &before)
	w.node.SetTyping("!a", shard, "@bob", w.clock().Add(10*time.Second))
	w.node.Cut(u, &after)
	require.Equal(t, []string{"@bob"}, w.node.Typing(change.Room))
	require.True(t, w.node.IsTyping(change.Room))
	require.True(t, change.Room.TypingChanged(&before), "who has read before the change sees it")
	require.False(t, change.Room.TypingChanged(&after), "who reads after it does not see it twice")
	changes, _, ok := u.Changed(nil, &before, &after, 0)
	require.True(t, ok)
	require.Len(t, changes, 1)
	changes, _, _ = u.Changed(nil, &after, &after, 0)
	require.Empty(t, changes)

	w.node.ExpireTyping()
	require.False(t, change.Room.TypingChanged(&after), "not yet")
	w.pass(11 * time.Second)
	w.node.ExpireTyping()
	require.Empty(t, w.node.Typing(change.Room))
	require.False(t, w.node.IsTyping(change.Room))
	require.True(t, change.Room.TypingChanged(&after))
}

func TestWhoComesFromElsewhereIsToldThatNobodyTypes(t *testing.T) {
	w := newWorld(t, live.Default())
	w.member("!a", "@alice", "join")
	w.start()
	elsewhere := live.Cut{Rooms: make([]int64, shards), Clock: w.clock().UnixMilli() - 1}
	shard := eventlog.ShardOf("!a", shards)
	elsewhere.Rooms[shard] = 1
	u := w.attach("@alice")
	var cut live.Cut
	w.node.Cut(u, &cut)
	changes, _, _ := u.Changed(nil, &elsewhere, &cut, 0)
	require.Empty(t, changes, "she was told of nobody who types")
	elsewhere.Typing = elsewhere.Clock
	changes, _, _ = u.Changed(nil, &elsewhere, &cut, 0)
	require.Len(t, changes, 1)
	require.EqualValues(t, 1, changes[0].Newest, "no log has anything new")
	cut.Typing = elsewhere.Typing
	changes, _, _ = u.Changed(nil, &cut, &cut, 0)
	require.Empty(t, changes, "it is told once")

	w.node.SetTyping("!a", shard, "@bob", w.clock())
	change, _ := u.Room("!a")
	require.True(t, change.Room.TypingChanged(&cut), "an explicit end is told although the beginning was not seen here")
}
