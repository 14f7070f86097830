package room_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	logpb "hongyan/api/log"
	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/service/room"
)

// TestPurgeRefuses is what an administrator may not ask for.
func TestPurgeRefuses(t *testing.T) {
	onBothKept(t, keeping(nil), func(t *testing.T, g *world, clock *hand) {
		id := g.create("")
		empty := g.create("")
		g.act("alice", empty, "leave")
		now := clock.ms.Load()
		for name, c := range map[string]struct {
			req  *roompb.PurgeRequest
			code matrix.ErrCode
		}{
			"no time":                 {&roompb.PurgeRequest{RoomId: id}, matrix.CodeInvalidParam},
			"a time to come":          {&roompb.PurgeRequest{RoomId: id, BeforeMs: now + 1}, matrix.CodeInvalidParam},
			"a negative time":         {&roompb.PurgeRequest{RoomId: id, BeforeMs: -1}, matrix.CodeInvalidParam},
			"force without all":       {&roompb.PurgeRequest{RoomId: id, BeforeMs: now, Force: true}, matrix.CodeInvalidParam},
			"all and a time":          {&roompb.PurgeRequest{RoomId: empty, BeforeMs: now, All: true}, matrix.CodeInvalidParam},
			"unknown room":            {&roompb.PurgeRequest{RoomId: "!x:hs", BeforeMs: now}, matrix.CodeNotFound},
			"unknown room, all":       {&roompb.PurgeRequest{RoomId: "!x:hs", All: true}, matrix.CodeNotFound},
			"malformed":               {&roompb.PurgeRequest{RoomId: "a\x00", All: true}, matrix.CodeInvalidParam},
			"all of an inhabited one": {&roompb.PurgeRequest{RoomId: id, All: true}, matrix.CodeBadState},
		} {
			_, err := g.moderation().Purge(t.Context(), c.req)
			var e *matrix.Error
			require.ErrorAs(t, err, &e, name)
			require.Equal(t, c.code, e.Code, name)
		}
		require.Equal(t, http.StatusOK, g.get("alice", roomPath(id, "state")).status)
	})
}

// TestWhatRefersToPurgedEvents is that transaction ids still answer, receipts and reports and old tokens do no harm, and a room of each
// version goes on, from an instance that has not heard of the purge too.
func TestWhatRefersToPurgedEvents(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			clock, address := newHand(), open(t)
			g := newWorldOf(t, address, nil, keeping(nil), clock.now)
			other := newWorldOf(t, address, g, keeping(nil), clock.now)
			other.txn.Store(1 << 30)
			for _, version := range []string{"1", "2", "6", "12"} {
				id := g.createWith("alice", map[string]any{"preset": "public_chat", "room_version": version})
				g.act("bob", id, "join")
				path := roomPath(id, "send", "m.room.message", "once-"+version)
				body := map[string]any{"msgtype": "m.text", "body": "old"}
				old := g.ok(http.MethodPut, "alice", path, body).str("event_id")
				root := other.say("bob", id, "root")
				g.ok(http.MethodPost, "bob", roomPath(id, "report", old), map[string]any{"reason": "bad"})
				_, err := g.read("bob", id, old, "")
				require.NoError(t, err)
				token := g.ok(http.MethodGet, "alice", roomPath(id, "messages")+"?dir=b&limit=2", nil).str("end")
				clock.move(time.Hour)
				reply := g.relate("alice", id, "m.thread", root, nil)
				g.say("alice", id, "new") // the other instance has not heard of it

				g.purge(&roompb.PurgeRequest{RoomId: id, BeforeMs: clock.ms.Load()})
				next := other.say("bob", id, "next")
				require.Equal(t, []string{reply}, g.ok(http.MethodGet, "alice", roomPath(id, "context", next)+"?limit=10", nil).ids("events_before")[1:2])
				require.Equal(t, old, g.ok(http.MethodPut, "alice", path, body).str("event_id"), "a repetition is answered as before")
				require.Equal(t, http.StatusNotFound, g.get("alice", roomPath(id, "event", old)).status)
				require.Len(t, g.receipts(id, 0, 0), 1)
				_, err = g.read("bob", id, next, "")
				require.NoError(t, err)
				require.Len(t, g.receipts(id, 0, 0), 1, "the newer one has replaced it")
				require.True(t, g.reports(100)[0].Gone)
				require.ElementsMatch(t, []string{userID("alice"), userID("bob")}, g.members("alice", id, "?at="+url.QueryEscape(token)))
				other.relate("bob", id, "m.thread", root, nil)
				g.relate("alice", id, "m.reference", old, nil)
				require.Equal(t, http.StatusNotFound, g.redact("alice", id, old, "gone-"+version).status)
				for _, at := range []string{"f", "b"} {
					require.Equal(t, http.StatusOK, g.get("alice", "/rooms/"+url.PathEscape(id)+"/messages?dir="+at+"&from="+url.QueryEscape(token)).status)
				}
			}
		})
	}
}

// stopWhen returns a context that ends when a condition holds, and what ends it and waits until nobody looks any more.
func stopWhen(t *testing.T, holds func() bool) (context.Context, func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil && !holds() {
		}
		cancel()
	}()
	return ctx, func() {
		cancel()
		<-done
	}
}

// TestPurgeBrokenOff stops a purge between any two batches; what is there afterwards is whole, the next one goes on, and followers are
// told in the end.
func TestPurgeBrokenOff(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			clock, address := newHand(), open(t)
			cfg := keeping(func(r *room.Retention) { r.Batch = 1 })
			g := newWorldOf(t, address, nil, cfg, clock.now)
			id := g.create("")
			root := g.say("alice", id, "root")
			for i := range 60 {
				if g.say("alice", id, fmt.Sprint(i)); i%3 == 0 {
					g.relate("alice", id, "m.thread", root, nil)
				}
			}
			clock.move(time.Hour)
			before := g.order(id)
			left := survivors(before, clock.ms.Load())
			stream := g.streamOf(id)
			events := func() int { return g.count(`SELECT count(*) FROM event WHERE room = $1`, stream) }
			for stop := len(before) - 10; stop > 40; stop -= 15 {
				ctx, end := stopWhen(t, func() bool {
					n := 0
					return g.db.QueryRow(context.Background(), `SELECT count(*) FROM event WHERE room = $1`, stream).Scan(&n) != nil || n <= stop
				})
				_, err := g.moderation().Purge(ctx, &roompb.PurgeRequest{RoomId: id, BeforeMs: clock.ms.Load()})
				end()
				if err == nil {
					continue // it was faster
				}
				g.stop()
				g = newWorldOf(t, address, g, cfg, clock.now)
				require.LessOrEqual(t, events(), stop)
				order := g.order(id)
				require.Len(t, order, events())
				g.checkLeft(id, before, order, nil)
				if told := g.purged(id); events() < len(before) { // nobody repeats it yet
					require.Equal(t, clock.ms.Load(), told.BeforeMs)
					require.Equal(t, 0, g.count(`SELECT count(*) FROM room WHERE told < purges`))
					require.Zero(t, g.count(`SELECT count(*) FROM room WHERE room = $1 AND purged <> $2`, stream, told.BeforeSeq-1))
					for _, e := range order {
						require.True(t, e.state || e.seq >= told.BeforeSeq, "what is still there is not told of")
					}
				}
			}
			for range 10 { // it begins with no batch at all
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				_, err := g.moderation().Purge(ctx, &roompb.PurgeRequest{RoomId: id, BeforeMs: clock.ms.Load()})
				require.Error(t, err)
			}
			g.purge(&roompb.PurgeRequest{RoomId: id, BeforeMs: clock.ms.Load()})
			g.checkLeft(id, before, left, nil)
			require.Zero(t, g.count(`SELECT count(*) FROM room WHERE told < purges`))
			told := g.purged(id)
			require.Equal(t, clock.ms.Load(), told.BeforeMs)
			require.Equal(t, before[len(before)-1].seq, told.BeforeSeq, "the newest but one was removed")

			// What is told later does not take back what was told before: one entry stands for all.
			g.purge(&roompb.PurgeRequest{RoomId: id, BeforeMs: clock.ms.Load() - time.Minute.Milliseconds()})
			g.txn.Store(1 << 30)
			g.say("alice", id, "next")
			g.purge(&roompb.PurgeRequest{RoomId: id, BeforeMs: clock.ms.Load() - 1})
			require.Equal(t, told.BeforeMs, g.purged(id).BeforeMs)
			require.Equal(t, told.BeforeSeq+1, g.purged(id).BeforeSeq)
		})
	}
}

// TestFollowersHearOfAPurgeThatWasKilled is that some instance tells them, though retention is off and nobody repeats the purge.
func TestFollowersHearOfAPurgeThatWasKilled(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			clock, address := newHand(), open(t)
			g := newWorldOf(t, address, nil, keeping(nil), clock.now)
			var ids []string
			for range 120 { // more than are read at once
				ids = append(ids, g.create(""))
				g.say("alice", ids[len(ids)-1], "x")
			}
			clock.move(time.Hour)
			for _, id := range ids {
				g.say("alice", id, "new")
				require.EqualValues(t, 1, g.purge(&roompb.PurgeRequest{RoomId: id, BeforeMs: clock.ms.Load()}))
			}
			told := g.purged(ids[7])
			// As one that was killed before it told leaves them.
			for _, sql := range []string{`UPDATE room SET told = 0`, `DELETE FROM room_latest WHERE key = 'purged'`} {
				_, err := g.db.Exec(t.Context(), sql)
				require.NoError(t, err)
			}
			g.stop()
			g = newWorldOf(t, address, g, keeping(nil), clock.now)
			await(t, "all are told", func() bool { return g.count(`SELECT count(*) FROM room WHERE told < purges`) == 0 })
			for _, id := range ids {
				require.Equal(t, told.BeforeMs, g.purged(id).BeforeMs)
			}
		})
	}
}

// purged is what followers are told last of what was removed from a room.
func (g *world) purged(roomID string) *roompb.Purged {
	g.t.Helper()
	var told *roompb.Purged
	heads, err := g.log.Heads(context.Background(), &logpb.HeadsRequest{})
	require.NoError(g.t, err)
	for shard := range heads.Shard {
		for after := int64(0); ; {
			page, err := g.log.Read(context.Background(), &logpb.ReadRequest{Shard: int32(shard), After: after, Limit: 100})
			require.NoError(g.t, err)
			for _, r := range page.Records {
				if r.Stream == roomID && r.Kind == int32(roompb.EntryKind_ENTRY_KIND_PURGED) {
					told = &roompb.Purged{}
					require.NoError(g.t, proto.Unmarshal(r.Body, told))
				}
			}
			if after = page.Through; len(page.Records) == 0 {
				break
			}
		}
	}
	require.NotNil(g.t, told, "nobody is told")
	return told
}

// TestSendsWhilePurging has two instances send messages, replies and redactions while another removes history without end: nothing
// that was acknowledged is lost, but for what was removed, and threads count what is there.
func TestSendsWhilePurging(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			clock, address := newHand(), open(t)
			a := newWorldOf(t, address, nil, keeping(nil), clock.now)
			b := newWorldOf(t, address, a, keeping(nil), clock.now)
			b.txn.Store(1 << 30)
			id := a.create("")
			a.act("bob", id, "join")
			root := a.say("alice", id, "root")
			ctx, cancel := context.WithCancel(t.Context())
			var sending, purging sync.WaitGroup
			var mu sync.Mutex
			sent := map[string]int64{}
			for i, g := range []*world{a, b, a, b} {
				user := []string{"alice", "bob"}[i%2]
				sending.Go(func() {
					var last string
					for n := range 60 {
						clock.move(time.Second)
						ts := clock.ms.Load()
						switch {
						case n%3 == 0:
							last = g.relate(user, id, "m.thread", root, nil)
						case n%7 == 0 && last != "":
							a := g.redact(user, id, last, fmt.Sprint("r", i, "-", n))
							if a.status != http.StatusOK {
								require.Equal(t, http.StatusNotFound, a.status, string(a.body))
								continue
							}
							last = ""
							continue
						default:
							last = g.say(user, id, "x")
						}
						mu.Lock()
						sent[last] = ts
						mu.Unlock()
					}
				})
			}
			var cut int64
			purging.Go(func() {
				for ctx.Err() == nil {
					cut = clock.ms.Load() - 60_000
					a.purge(&roompb.PurgeRequest{RoomId: id, BeforeMs: cut})
				}
			})
			sending.Wait()
			cancel()
			purging.Wait()
			left := a.order(id)
			found := map[string]bool{}
			for _, e := range left {
				found[e.id] = true
			}
			for id, ts := range sent {
				if ts >= cut {
					require.True(t, found[id], "an event of %d, and what is before %d was removed", ts, cut)
				}
			}
			a.checkLeft(id, left, left, nil)
			b.checkLeft(id, left, left, nil)
		})
	}
}

// TestPurgesCountWhatTheyRemoved is that two who remove the same events at once do not both count them.
func TestPurgesCountWhatTheyRemoved(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			clock, address := newHand(), open(t)
			a := newWorldOf(t, address, nil, keeping(nil), clock.now)
			b := newWorldOf(t, address, a, keeping(nil), clock.now)
			id := a.create("")
			a.sayMany(id, 400)
			clock.move(time.Hour)
			a.say("alice", id, "newest")
			var removed [2]int64
			var wg sync.WaitGroup
			for i, g := range []*world{a, b} {
				wg.Go(func() { removed[i] = g.purge(&roompb.PurgeRequest{RoomId: id, BeforeMs: clock.ms.Load()}) })
			}
			wg.Wait()
			require.EqualValues(t, 400, removed[0]+removed[1], "%v", removed)
		})
	}
}
