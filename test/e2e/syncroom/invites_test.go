package syncroom_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	syncpb "hongyan/api/sync"
	"hongyan/platform/rpc"
)

// TestInviteBlocksAreTold asks as the room service does who takes no invites.
func TestInviteBlocksAreTold(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		server := rpc.NewServer("sync", rpc.Options{})
		g.sync.service.Register(server)
		conns, local := rpc.NewLocal(rpc.Options{})
		local.Add(server)
		ask := func() []string {
			resp, err := syncpb.NewSyncClient(conns.Conn("sync")).InviteBlocks(t.Context(), &syncpb.InviteBlocksRequest{
				UserIds: []string{"@alice:hs", "@bob:hs", "@unknown:hs"},
			})
			require.NoError(t, err)
			return resp.UserIds
		}
		set := func(content string) {
			bob := g.client("bob")
			bob.ok(http.MethodPut, "/user/"+bob.user+"/account_data/m.invite_permission_config", content)
		}
		require.Empty(t, ask())
		for _, content := range []string{`{}`, `{"default_action":"allow"}`, `{"default_action":1}`, `{"other":"block"}`} {
			set(content)
			require.Empty(t, ask(), content)
		}
		set(`{"default_action":"block"}`)
		require.Equal(t, []string{"@bob:hs"}, ask(), "at once")
		set(`{}`)
		require.Empty(t, ask())
	})
}
