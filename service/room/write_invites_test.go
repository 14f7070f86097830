package room_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	syncpb "hongyan/api/sync"
)

// closedDoors is the sync service as rooms see it: who takes no invites.
type closedDoors struct {
	syncpb.SyncClient

	mu    sync.Mutex
	users []string
	err   error
	asked int
}

// InviteBlocks implements syncpb.SyncClient.
func (c *closedDoors) InviteBlocks(_ context.Context, req *syncpb.InviteBlocksRequest, _ ...grpc.CallOption) (*syncpb.InviteBlocksResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	resp := &syncpb.InviteBlocksResponse{}
	for _, id := range req.UserIds {
		if slices.Contains(c.users, id) {
			resp.UserIds = append(resp.UserIds, id)
		}
	}
	return resp, c.err
}

func (c *closedDoors) set(err error, users ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.users, c.err = users, err
}

func (c *closedDoors) askedSoFar() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

func TestInvitesAreBlocked(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.memberRoom()
		g.closed.set(nil, userID("dave"), userID("bob"), userID("banned"))
		invite := func(user, other string) answer {
			return g.do(http.MethodPost, user, roomPath(id, "invite"), map[string]any{"user_id": userID(other)})
		}
		a := invite("alice", "dave")
		require.Equal(t, 403, a.status, string(a.body))
		require.Equal(t, "M_INVITE_BLOCKED", a.code())
		require.Nil(t, g.content("alice", id, "m.room.member", userID("dave")))
		require.Equal(t, "M_FORBIDDEN", invite("bob", "dave").code(), "without permission nobody learns it")
		require.Equal(t, "M_FORBIDDEN", invite("alice", "bob").code())
		require.Equal(t, "M_FORBIDDEN", invite("alice", "banned").code())
		a = g.doRaw("alice", http.MethodPut, roomPath(id, "state", "m.room.member", userID("dave")), `{"membership":"invite"}`)
		require.Equal(t, []any{403, "M_INVITE_BLOCKED"}, []any{a.status, a.code()})

		count := g.countRooms()
		for name, body := range map[string]map[string]any{
			"invite": {"invite": []string{userID("carol"), userID("dave")}},
			"state": {"initial_state": []any{map[string]any{
				"type": "m.room.member", "state_key": userID("dave"), "content": map[string]any{"membership": "invite"},
			}}},
		} {
			a := g.do(http.MethodPost, "alice", "/createRoom", body)
			require.Equal(t, []any{403, "M_INVITE_BLOCKED"}, []any{a.status, a.code()}, name)
		}
		require.Equal(t, count, g.countRooms())

		open := g.create("")
		g.act("dave", open, "join")
		g.to("alice", open, "ban", "dave")
		g.closed.set(nil)
		g.to("alice", id, "invite", "dave")
		g.closed.set(nil, userID("dave"))
		g.act("dave", id, "join")
	})
}

func TestInvitesWaitForWhoKnows(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.create("")
		asked := g.closed.askedSoFar()
		g.say("alice", id, "hello")
		g.act("bob", id, "join")
		require.Equal(t, asked, g.closed.askedSoFar(), "only invites ask")
		g.closed.set(errors.New("down"))
		a := g.do(http.MethodPost, "alice", roomPath(id, "invite"), map[string]any{"user_id": userID("dave")})
		require.Equal(t, 503, a.status, string(a.body))
		require.Nil(t, g.content("alice", id, "m.room.member", userID("dave")))
		g.createWith("alice", map[string]any{})
		g.closed.set(status.Error(codes.Unimplemented, "an older version"))
		g.to("alice", id, "invite", "dave")
	})
}
