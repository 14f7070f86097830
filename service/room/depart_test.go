package room_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	identitypb "hongyan/api/identity"
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/service/room"
)

// movedClock is the time, and what it was moved by.
type movedClock struct {
	mu sync.Mutex
	by time.Duration
}

func (c *movedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.by)
}

func (c *movedClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by += d
}

// Requests of a deactivated user that were under way when the user left the rooms are undone, also when the instance
// that knew of them is gone.
func TestRequestsUnderWayAtDeactivation(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url, clock := open(t), &movedClock{}
			first := newWorldOf(t, url, nil, room.Default(), clock.Now)
			first.people.set("bob", "Bob", "mxc://hs/1")
			old, late := first.create(""), first.create("")
			first.act("bob", old, "join")
			first.people.remove("bob")
			first.people.tell("bob", identitypb.UserEventKind_USER_EVENT_KIND_DEACTIVATED)
			membership := func(g *world, roomID string) any {
				return g.content("alice", roomID, "m.room.member", userID("bob"))["membership"]
			}
			await(t, "the follower", func() bool { return membership(first, old) == "leave" })
			first.act("bob", late, "join")
			made := first.createWith("bob", map[string]any{"preset": "public_chat"})
			first.act("alice", made, "join")
			require.Equal(t, "join", membership(first, late))
			require.Equal(t, "join", membership(first, made))
			first.stop()

			clock.add(room.Default().DepartAfter)
			second := newWorldOf(t, url, first, room.Default(), clock.Now)
			await(t, "the second look", func() bool {
				return membership(second, late) == "leave" && membership(second, made) == "leave"
			})
			second.verify(late, event.V12)
			second.verify(made, event.V12)
			await(t, "the end of it", func() bool {
				var n int64
				require.NoError(t, second.db.QueryRow(t.Context(), `SELECT count(*) FROM departure`).Scan(&n))
				return n == 0
			})
		})
	}
}

func TestAliasesAndStateAreBounded(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			cfg := room.Default()
			cfg.MaxAliases = 2
			probe := newWorldWith(t, open(t), nil, cfg)
			id := probe.create("")
			put := func(g *world, roomID, alias string) answer {
				return g.do(http.MethodPut, "alice", "/directory/room/%23"+alias+":hs", map[string]any{"room_id": roomID})
			}
			require.Equal(t, http.StatusOK, put(probe, id, "a").status)
			require.Equal(t, http.StatusOK, put(probe, id, "b").status)
			refused := put(probe, id, "c")
			require.Equal(t, string(matrix.CodeResourceLimitExceeded), refused.str("errcode"))
			require.Equal(t, http.StatusOK, put(probe, probe.create(""), "c").status)
		})
		t.Run(name+" state", func(t *testing.T) {
			cfg := room.Default()
			cfg.MaxState = 10
			g := newWorldWith(t, open(t), nil, cfg)
			id := g.create("")
			var last answer
			put := func(key string, value int) answer {
				return g.do(http.MethodPut, "alice", roomPath(id, "state", "org.example", key), map[string]any{"x": value})
			}
			n := 0
			for ; n < 20; n++ {
				if last = put(string(rune('a'+n)), 1); last.status != http.StatusOK {
					break
				}
			}
			require.Equal(t, string(matrix.CodeResourceLimitExceeded), last.str("errcode"))
			require.Positive(t, n)
			require.Less(t, n, 10)
			require.Equal(t, http.StatusOK, put("a", 2).status, "what is there may change")
			g.act("bob", id, "join")
		})
	}
}
