package room_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/platform/sqldb"
)

func (g *rig) read(user, roomID, eventID, thread string) (int64, error) {
	resp, err := g.client.SetReceipt(g.t.Context(), &roompb.SetReceiptRequest{Receipt: &roompb.Receipt{
		RoomId: roomID, UserId: userID(user), EventId: eventID, ReceiptType: "m.read", ThreadId: thread, TsMs: 7,
	}})
	return resp.GetPosition(), err
}

func (g *rig) receipts(roomID string, after, through int64) []*roompb.Receipt {
	g.t.Helper()
	resp, err := g.client.Receipts(g.t.Context(), &roompb.ReceiptsRequest{Rooms: []*roompb.ReceiptsOf{
		{RoomId: roomID, After: after, Through: through}, {RoomId: "!unknown:hs"},
	}})
	require.NoError(g.t, err)
	return resp.Receipts
}

// A client can say of every event that it is a thread, and has been read. All members get to know that.
func TestReceiptsInThreadsAreBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		id := g.say("alice", roomID, "1")
		_, err := g.read("alice", roomID, id, "")
		require.NoError(t, err)
		_, err = g.read("bob", roomID, id, "")
		require.Error(t, err)
		const readers, each, kept = 100, 12, 1000
		var wg sync.WaitGroup
		for r := range readers {
			wg.Go(func() {
				for i := range each {
					if _, err := g.read("alice", roomID, id, fmt.Sprint("$", r, "-", i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		_, err = g.read("alice", roomID, g.say("alice", roomID, "2"), "$later")
		require.NoError(t, err)
		all := g.receipts(roomID, 0, 0)
		require.LessOrEqual(t, len(all), 1+kept*9/8)
		for _, thread := range []string{"", "$later"} {
			require.True(t, slices.ContainsFunc(all, func(r *roompb.Receipt) bool { return r.ThreadId == thread }), thread)
		}
	})
}

func TestReceipts(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		g.act("bob", roomID, "join")
		one, two := g.say("alice", roomID, "1"), g.say("alice", roomID, "2")

		p1, err := g.read("bob", roomID, one, "")
		require.NoError(t, err)
		require.Greater(t, p1, g.head(roomID).HeadPosition-1)
		require.Equal(t, p1, g.head(roomID).ReceiptPosition)
		all := g.receipts(roomID, 0, 0)
		require.Len(t, all, 1)
		require.Equal(t, one, all[0].EventId)
		require.Equal(t, p1, all[0].Position)
		require.Equal(t, int64(7), all[0].TsMs)
		require.Equal(t, userID("bob"), all[0].UserId)
		require.Equal(t, roomID, all[0].RoomId)

		p2, err := g.read("bob", roomID, two, "")
		require.NoError(t, err)
		require.Greater(t, p2, p1)
		again, err := g.read("bob", roomID, one, "")
		require.NoError(t, err)
		require.Equal(t, p2, again, "an older one changes nothing")
		again, err = g.read("bob", roomID, two, "")
		require.NoError(t, err)
		require.Equal(t, p2, again, "nor does the same one")
		all = g.receipts(roomID, 0, 0)
		require.Len(t, all, 1, "the newer one has replaced the older")
		require.Equal(t, two, all[0].EventId)

		// Threads and users have receipts of their own.
		p3, err := g.read("bob", roomID, one, "main")
		require.NoError(t, err)
		p4, err := g.read("alice", roomID, one, "")
		require.NoError(t, err)
		require.Len(t, g.receipts(roomID, 0, 0), 3)
		require.Len(t, g.receipts(roomID, p2, 0), 2)
		require.Len(t, g.receipts(roomID, p2, p3), 1)
		require.Empty(t, g.receipts(roomID, p4, 0))
		require.Equal(t, p4, g.head(roomID).ReceiptPosition)
	})
}

func TestReceiptsAreRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID, other := g.create("joined"), g.create("")
		hidden := g.say("alice", roomID, "before bob")
		elsewhere := g.say("alice", other, "x")
		g.act("bob", roomID, "join")
		seen := g.say("alice", roomID, "x")
		for name, c := range map[string]struct {
			user, room, event string
			code              matrix.ErrCode
		}{
			"hidden":       {"bob", roomID, hidden, matrix.CodeNotFound},
			"unknown":      {"bob", roomID, "$nowhere", matrix.CodeNotFound},
			"other room":   {"bob", roomID, elsewhere, matrix.CodeNotFound},
			"not a member": {"mallory", roomID, seen, matrix.CodeForbidden},
			"unknown room": {"bob", "!unknown:hs", seen, matrix.CodeForbidden},
			"no event":     {"bob", roomID, "", matrix.CodeInvalidParam},
		} {
			_, err := g.read(c.user, c.room, c.event, "")
			var e *matrix.Error
			require.True(t, errors.As(err, &e), name)
			require.Equal(t, c.code, e.Code, name)
		}
		require.Empty(t, g.receipts(roomID, 0, 0))
	})
}

func TestReceiptsGather(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		var ids []string
		for i := range 40 {
			ids = append(ids, g.say("alice", roomID, fmt.Sprint(i)))
		}
		before := g.head(roomID).HeadPosition
		var wg sync.WaitGroup
		positions := make([]int64, len(ids))
		for i, id := range ids {
			wg.Go(func() {
				p, err := g.read("alice", roomID, id, "")
				if err == nil {
					positions[i] = p
				}
			})
		}
		wg.Wait()
		all := g.receipts(roomID, 0, 0)
		require.Len(t, all, 1)
		require.Equal(t, ids[len(ids)-1], all[0].EventId, "the newest event wins, in whatever order they came")
		distinct := map[int64]bool{}
		for _, p := range positions {
			require.Greater(t, p, before, "each was answered")
			distinct[p] = true
		}
		require.LessOrEqual(t, len(distinct), 8, "they were written together")
	})
}

// TestReceiptsOfTwoInstances has two instances write receipts at the same moment, that for the later event first: both
// have seen that none is stored, and wait for the room's shard.
func TestReceiptsOfTwoInstances(t *testing.T) {
	url := databases["postgres"](t)
	one := newWorld(t, url, nil)
	two := newWorld(t, url, one)
	id := one.create("")
	earlier, later := one.say("alice", id, "earlier"), one.say("alice", id, "later")
	waiters := func() (n int) {
		require.NoError(t, one.db.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n))
		return n
	}
	var wg sync.WaitGroup
	err := one.db.Write(t.Context(), func(ctx context.Context, tx sqldb.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT 1 FROM room_shard FOR UPDATE`); err != nil {
			return err
		}
		for i, event := range []string{later, earlier} {
			g := []*world{one, two}[i]
			wg.Go(func() {
				if _, err := g.read("alice", id, event, ""); err != nil {
					t.Error(err)
				}
			})
			await(t, "the write waits for the shard", func() bool { return waiters() == i+1 })
		}
		return nil
	})
	require.NoError(t, err)
	wg.Wait()
	all := one.receipts(id, 0, 0)
	require.Len(t, all, 1)
	require.Equal(t, later, all[0].EventId)
}
