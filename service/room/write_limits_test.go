package room_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	identitypb "hongyan/api/identity"
	"hongyan/matrix/event"
	"hongyan/platform/httpx"
	"hongyan/service/room"
)

// TestFullQueueRefuses lets more send at once than may wait: each is either refused or there.
func TestFullQueueRefuses(t *testing.T) {
	cfg := room.Default()
	cfg.QueueLength, cfg.BatchOperations = 2, 1
	g := newWorldWith(t, databases["sqlite"](t), nil, cfg)
	id := g.create("")
	const senders = 64
	answers := make([]answer, senders)
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			answers[i] = g.doRaw("alice", http.MethodPut, roomPath(id, "send", "m.room.message", fmt.Sprint(i)), `{}`)
		})
	}
	wg.Wait()
	sent := 0
	for _, a := range answers {
		if a.status == 200 {
			sent++
			continue
		}
		require.Equal(t, 429, a.status, string(a.body))
		require.Equal(t, "M_LIMIT_EXCEEDED", a.code())
		require.Positive(t, a.object()["retry_after_ms"])
	}
	require.Positive(t, sent)
	require.Len(t, g.verify(id, event.V12), 6+sent)
}

// TestStopLosesNothing stops the service under load: what was acknowledged is there, the rest was refused.
func TestStopLosesNothing(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			var id string
			acknowledged := map[string]bool{}
			t.Run("until it stops", func(t *testing.T) {
				g := newWorld(t, url, nil)
				id = g.create("")
				var mu sync.Mutex
				var wg sync.WaitGroup
				begun := make(chan struct{}, 1024)
				for s := range 16 {
					wg.Go(func() {
						for i := 0; ; i++ {
							a := g.doRaw("alice", http.MethodPut, roomPath(id, "send", "m.room.message", fmt.Sprintf("%d-%d", s, i)), `{}`)
							if a.status != 200 {
								if a.status != 503 {
									t.Errorf("stopping answers %d %s", a.status, a.body)
								}
								return
							}
							mu.Lock()
							acknowledged[a.str("event_id")] = true
							mu.Unlock()
							select {
							case begun <- struct{}{}:
							default:
							}
						}
					})
				}
				for range 100 {
					<-begun
				}
				g.stop()
				wg.Wait()
			})
			g := newWorld(t, url, nil)
			for _, e := range g.verify(id, event.V12) {
				delete(acknowledged, string(e.ID()))
			}
			require.Empty(t, acknowledged)
		})
	}
}

func TestRequestsWithoutTransactionHappenOnce(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.create("")
		g.act("bob", id, "join")
		caller := httpx.Caller{UserID: userID("alice"), DeviceID: "D", IdempotencyKey: "key"}
		kick := func() answer {
			return g.doAs(caller, http.MethodPost, roomPath(id, "kick"), map[string]string{"user_id": userID("bob")})
		}
		require.Equal(t, 200, kick().status)
		require.Equal(t, 200, kick().status, "a repetition of what would be refused by now")
		g.act("bob", id, "join")
		require.Equal(t, 200, kick().status)
		require.Equal(t, "join", g.content("alice", id, "m.room.member", userID("bob"))["membership"], "it happened once")
		put := func(name string) answer {
			return g.doAs(caller, http.MethodPut, roomPath(id, "state", "m.room.name", ""), map[string]string{"name": name})
		}
		first := put("a")
		g.setState("alice", id, "m.room.name", "", map[string]string{"name": "b"})
		require.Equal(t, first, put("a"))
		require.Equal(t, "b", g.content("alice", id, "m.room.name", "")["name"])
	})
}

func TestTransactionsFallWithTheDevice(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.create("")
		count := func() (n int) {
			require.NoError(t, g.db.QueryRow(context.Background(), `SELECT count(*) FROM room_txn`).Scan(&n))
			return n
		}
		send := func(device, txn string) {
			c := httpx.Caller{UserID: userID("alice"), DeviceID: device}
			a := g.doAs(c, http.MethodPut, roomPath(id, "send", "x", txn), map[string]any{})
			require.Equal(t, 200, a.status)
		}
		before := count()
		for i := range 3 {
			send("A", fmt.Sprint(i))
			send("A|B", fmt.Sprint(i))
			send("AB", fmt.Sprint(i))
		}
		require.Equal(t, before+9, count())
		g.people.tellOf("alice", identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_REMOVED,
			&identitypb.UserEvent{DeviceIds: []string{"A"}})
		await(t, "transactions of A", func() bool { return count() == before+6 })
		g.people.tell("alice", identitypb.UserEventKind_USER_EVENT_KIND_DEACTIVATED)
		await(t, "all transactions", func() bool { return count() == 0 })
	})
}

// FuzzBodies sends any body to what reads bodies: the answer is never a fault of the server, and the room stays right.
func FuzzBodies(f *testing.F) {
	for _, body := range []string{
		``, `{}`, `[]`, `null`, `{"a":`, `{"a":1e5}`, `{"membership":"join"}`, `{"membership":["join"]}`, `{"redacts":{}}`,
		`{"users":{"@a:hs":"1"}}`, `{"alias":"#a:hs","alt_aliases":[null]}`, `{"user_id":"@a:hs","reason":null}`,
		`{"preset":"trusted_private_chat","invite":["@b:hs"],"creation_content":{"additional_creators":["@c:hs"]}}`,
		`{"initial_state":[{"type":"m.room.power_levels","content":{"users":null}}],"name":"\u0000"}`,
		`{"power_level_content_override":{"events":{"m.room.create":99}},"room_version":"6"}`, `{"visibility":null}`,
		`{"join_rule":{},"history_visibility":[],"guest_access":1}`, "{\"x\":\"\xff\"}", `{"x":"\ud800"}`,
	} {
		f.Add(body)
	}
	g := newWorld(f, databases["sqlite"](f), nil)
	id := g.createWith("alice", map[string]any{"room_version": "11", "preset": "public_chat"})
	f.Fuzz(func(t *testing.T, body string) {
		n := g.txn.Add(1)
		for _, c := range [][2]string{
			{http.MethodPost, "/createRoom"},
			{http.MethodPost, roomPath(id, "invite")}, {http.MethodPost, roomPath(id, "kick")},
			{http.MethodPost, roomPath(id, "join")},
			{http.MethodPut, roomPath(id, "send", "m.room.message", fmt.Sprint(n))},
			{http.MethodPut, roomPath(id, "send", "m.room.redaction", fmt.Sprint(n))},
			{http.MethodPut, roomPath(id, "state", "m.room.canonical_alias", "")},
			{http.MethodPut, roomPath(id, "state", "m.room.join_rules", "")},
			{http.MethodPut, roomPath(id, "state", "m.room.history_visibility", "")},
			{http.MethodPut, roomPath(id, "state", "m.room.member", "@x:hs")},
			{http.MethodPut, "/directory/list/room/" + id},
			{http.MethodPut, aliasPath(fmt.Sprintf("#a%d:hs", n))},
		} {
			a := g.at(t).doRaw("alice", c[0], c[1], body)
			if a.status >= 500 || !json.Valid(a.body) {
				t.Fatalf("%s %s with %q: %d %s", c[0], c[1], body, a.status, a.body)
			}
		}
	})
}
