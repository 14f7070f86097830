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
	users, at := w.node.Typing(change.Room)
	require.Equal(t, []string{"@bob"}, users)
	require.Greater(t, at, before.Clock, "who has read before the change sees it")
	require.LessOrEqual(t, at, after.Clock, "who reads after it does not see it twice")
	changes, _, ok := u.Changed(nil, &before, &after, 0)
	require.True(t, ok)
	require.Len(t, changes, 1)
	changes, _, _ = u.Changed(nil, &after, &after, 0)
	require.Empty(t, changes)

	w.node.ExpireTyping()
	_, same := w.node.Typing(change.Room)
	require.Equal(t, at, same, "not yet")
	w.pass(11 * time.Second)
	w.node.ExpireTyping()
	users, at = w.node.Typing(change.Room)
	require.Empty(t, users)
	require.Greater(t, at, after.Clock)
}
