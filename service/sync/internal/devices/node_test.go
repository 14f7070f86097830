package devices_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zeromicro/go-zero/core/logx"

	keyspb "hongyan/api/keys"
	"hongyan/platform/eventlog"
	"hongyan/service/sync/internal/devices"
)

// rig is a node whose users share encrypted rooms as peers says.
type rig struct {
	*devices.Node
	t     *testing.T
	now   time.Time
	peers func(changed string) []string
	fails error
	// former tells that they have left.
	former bool
}

func newRig(t *testing.T) *rig {
	g := &rig{t: t, now: time.Unix(1_700_000_000, 0), peers: func(string) []string { return nil }}
	var err error
	g.Node, err = devices.New(devices.Config{Idle: time.Minute, Devices: 2}, devices.Deps{
		Peers: func(_ context.Context, changed []string, found func(userID, changed string, now bool)) error {
			for _, c := range changed {
				for _, u := range g.peers(c) {
					found(u, c, !g.former)
				}
			}
			return g.fails
		},
		Clock: func() time.Time { return g.now }, Log: logx.WithContext(t.Context()),
	}, eventlog.Heads{Epoch: 1, Shard: []int64{10}}, eventlog.Heads{Epoch: 2, Shard: []int64{20}})
	require.NoError(t, err)
	return g
}

// put applies an entry of the log "keys".
func (g *rig) put(position int64, user, key string, kind keyspb.EntryKind) {
	g.t.Helper()
	require.NoError(g.t, g.ApplyKeys(g.t.Context(), 0, []eventlog.Record{
		{Name: user, Position: position, Key: key, Kind: eventlog.Kind(kind)},
	}, position))
}

// change applies an entry of the device-list log.
func (g *rig) change(position int64, user string) error {
	return g.ApplyList(g.t.Context(), 0, []eventlog.Record{
		{Name: user, Position: position, Key: "u", Kind: eventlog.Kind(keyspb.EntryKind_ENTRY_KIND_DEVICE_LIST)},
	}, position)
}

func wake() chan struct{} { return make(chan struct{}, 1) }

func TestMessagesWakeTheirDeviceAlone(t *testing.T) {
	g := newRig(t)
	a, b := wake(), wake()
	one, two := g.Attach("@a:hs", "ONE/2", a), g.Attach("@a:hs", "TWO", b)
	require.True(t, one.MayHaveMessages(9, 10), "what came before the device did is not known")
	require.False(t, one.MayHaveMessages(10, 10))
	g.put(11, "@a:hs", "d/ONE%2F2/1/x", keyspb.EntryKind_ENTRY_KIND_TO_DEVICE)
	require.Len(t, a, 1)
	require.Empty(t, b)
	require.True(t, one.MayHaveMessages(10, 11))
	require.False(t, one.MayHaveMessages(11, 11))
	require.False(t, two.MayHaveMessages(10, 11))
	g.put(12, "@b:hs", "d/TWO/1/x", keyspb.EntryKind_ENTRY_KIND_TO_DEVICE)
	g.put(13, "@a:hs", "x/TWO", 99)
	require.Empty(t, b, "kinds that are not known wake nobody")
	keys, _ := g.Applied(one.User)
	require.EqualValues(t, 13, keys)
}

func TestWhatMustBeAcknowledged(t *testing.T) {
	g := newRig(t)
	d := g.Attach("@a:hs", "D", wake())
	require.False(t, d.MustAcknowledge(0))
	require.True(t, d.MustAcknowledge(5), "it is not known what was told before")
	d.Acknowledged(5)
	require.True(t, d.MustAcknowledge(11))
	d.Acknowledged(11)
	require.False(t, d.MustAcknowledge(12), "nothing came")
	g.put(13, "@a:hs", "d/D/1/x", keyspb.EntryKind_ENTRY_KIND_TO_DEVICE)
	require.True(t, d.MustAcknowledge(13))
	d.Acknowledged(13)
	require.False(t, d.MustAcknowledge(14))
	require.False(t, d.MustAcknowledge(3))
}

func TestCountsAreReadAgainAfterAChange(t *testing.T) {
	g := newRig(t)
	d := g.Attach("@a:hs", "D", wake())
	c, fresh := d.Counts()
	require.Nil(t, c)
	require.False(t, fresh)
	first := &devices.Counts{JSON: []byte("1"), Changed: 8}
	d.PutCounts(first, d.Life())
	_, fresh = d.Counts()
	require.True(t, fresh)
	g.put(11, "@a:hs", "c/D", keyspb.EntryKind_ENTRY_KIND_COUNTS)
	c, fresh = d.Counts()
	require.Same(t, first, c)
	require.False(t, fresh)
	d.PutCounts(&devices.Counts{JSON: []byte("2"), Changed: 11}, d.Life())
	d.PutCounts(first, d.Life())
	c, fresh = d.Counts()
	require.Equal(t, "2", string(c.JSON), "an older reading does not replace a later one")
	require.True(t, fresh)

	require.True(t, d.CountsAreNews(c, "token", 10))
	require.False(t, d.CountsAreNews(c, "token", 11))
	d.Tell(c, "token")
	require.False(t, d.CountsAreNews(c, "token", 0))
	require.True(t, d.CountsAreNews(first, "token", 10), "another number than was told")
	d.Tell(nil, "token")
	require.True(t, d.CountsAreNews(c, "token", 99), "none were told")
}

// A device id may be given again: what was counted of the device that is gone is not the new one's.
func TestCountsAreOfTheDeviceThatIsThere(t *testing.T) {
	g := newRig(t)
	d := g.Attach("@a:hs", "D", wake())
	late := d.Life()
	d.PutCounts(&devices.Counts{JSON: []byte("50"), Changed: 8}, late)
	require.NoError(t, g.change(21, "@a:hs"))
	_, fresh := d.Counts()
	require.False(t, fresh)
	d.PutCounts(&devices.Counts{JSON: []byte("0")}, d.Life())
	d.PutCounts(&devices.Counts{JSON: []byte("50"), Changed: 8}, late)
	c, fresh := d.Counts()
	require.True(t, fresh)
	require.Equal(t, "0", string(c.JSON))
}

func TestChangedListsConcernPeers(t *testing.T) {
	g := newRig(t)
	g.peers = func(string) []string { return []string{"@a:hs", "@nobody:hs"} }
	wa, wb := wake(), wake()
	a, b := g.Attach("@a:hs", "D", wa), g.Attach("@b:hs", "D", wb)
	require.NoError(t, g.change(21, "@b:hs"))
	require.Len(t, wa, 1)
	require.Len(t, wb, 1, "a user's own")
	for _, d := range []*devices.Device{a, b} {
		users, shared, ok := d.User.ChangedLists(nil, 20, 21)
		require.True(t, ok)
		require.True(t, shared)
		require.Equal(t, []string{"@b:hs"}, users)
	}
	_, _, ok := a.User.ChangedLists(nil, 19, 21)
	require.False(t, ok, "memory does not reach back")
	none, _, ok := a.User.ChangedLists(nil, 21, 21)
	require.True(t, ok)
	require.Empty(t, none)

	g.former = true
	require.NoError(t, g.change(22, "@c:hs"))
	users, shared, ok := a.User.ChangedLists(nil, 20, 22)
	require.True(t, ok)
	require.Equal(t, []string{"@c:hs", "@b:hs"}, users)
	require.False(t, shared, "one of them has left")

	g.fails = errors.New("room is down")
	require.Error(t, g.change(23, "@c:hs"))
	_, list := g.Applied(a.User)
	require.EqualValues(t, 22, list)
	late := g.Attach("@late:hs", "D", wake())
	g.fails = nil
	require.NoError(t, g.change(23, "@c:hs"))
	_, _, ok = late.User.ChangedLists(nil, 22, 23)
	require.False(t, ok, "who came while a batch was applied may have been passed over")
}

func TestMarksAreBounded(t *testing.T) {
	g := newRig(t)
	g.peers = func(string) []string { return []string{"@a:hs"} }
	d := g.Attach("@a:hs", "D", wake())
	for i := range int64(1000) {
		require.NoError(t, g.change(21+i, fmt.Sprintf("@u%d:hs", i)))
	}
	_, _, ok := d.User.ChangedLists(nil, 20, 1020)
	require.False(t, ok)
	users, _, ok := d.User.ChangedLists(nil, 1010, 1020)
	require.True(t, ok)
	require.Len(t, users, 10)
	all, ok := g.AllChangedLists(nil, 1010, 1019)
	require.True(t, ok)
	require.Len(t, all, 9)
	for i := range int64(9000) {
		require.NoError(t, g.change(1021+i, "@u999:hs"))
	}
	_, ok = g.AllChangedLists(nil, 1020, 2000)
	require.False(t, ok, "that is bounded too")
	_, ok = g.AllChangedLists(nil, 9000, 10_020)
	require.True(t, ok)
	require.NoError(t, g.change(10_021, "@u999:hs"))
	users, _, _ = d.User.ChangedLists(nil, 1019, 10_021)
	require.Equal(t, []string{"@u999:hs"}, users, "once")
}

func TestDevicesLeaveMemory(t *testing.T) {
	g := newRig(t)
	g.peers = func(string) []string { return []string{"@a:hs"} }
	w := wake()
	d := g.Attach("@a:hs", "D", w)
	g.put(11, "@a:hs", "d/D/1/x", keyspb.EntryKind_ENTRY_KIND_TO_DEVICE)
	d.Detach(w)
	require.Same(t, d, g.Attach("@a:hs", "D", w), "it stays for a while")
	g.now = g.now.Add(time.Hour)
	g.Sweep()
	require.Same(t, d, g.Attach("@a:hs", "D", w), "it stays while it is needed")
	d.Detach(w)
	d.Detach(w)
	require.NoError(t, g.change(21, "@b:hs"))
	g.now = g.now.Add(time.Hour)
	again := g.Attach("@a:hs", "D", w)
	require.NotSame(t, d, again)
	require.True(t, again.MayHaveMessages(10, 11))
	_, _, ok := again.User.ChangedLists(nil, 20, 21)
	require.False(t, ok, "who was away for long may have been passed over")
	for _, id := range []string{"E", "F", "G"} {
		g.Attach("@a:hs", id, w).Detach(w)
	}
	require.Same(t, again, g.Attach("@a:hs", "D", w), "those that are needed are not replaced")
}

func TestAwaitApplied(t *testing.T) {
	g := newRig(t)
	d := g.Attach("@a:hs", "D", wake())
	require.NoError(t, g.AwaitApplied(t.Context(), d.User, 10, 20))
	done := make(chan error, 1)
	go func() { done <- g.AwaitApplied(t.Context(), d.User, 11, 21) }()
	g.put(11, "@x:hs", "c/D", keyspb.EntryKind_ENTRY_KIND_COUNTS)
	require.NoError(t, g.change(21, "@x:hs"))
	require.NoError(t, <-done)
	go func() { done <- g.AwaitApplied(t.Context(), d.User, 12, 21) }()
	g.End()
	require.ErrorIs(t, <-done, devices.ErrEnded)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, newRig(t).AwaitApplied(ctx, d.User, 99, 99))
}
