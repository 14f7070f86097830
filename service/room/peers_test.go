package room_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	roompb "hongyan/api/room"
)

// moment is the log as it is.
func (g *rig) moment() *roompb.Moment {
	g.t.Helper()
	resp, err := g.client.UserRooms(g.t.Context(), &roompb.UserRoomsRequest{UserId: userID("alice")})
	require.NoError(g.t, err)
	m := &roompb.Moment{Epoch: resp.Epoch, Positions: map[int32]int64{}}
	for shard, head := range resp.Heads {
		m.Positions[int32(shard)] = head
	}
	return m
}

func (g *rig) peers(req *roompb.PeersRequest) *roompb.PeersResponse {
	g.t.Helper()
	req.UserId = userID("alice")
	resp, err := g.client.Peers(g.t.Context(), req)
	require.NoError(g.t, err)
	return resp
}

func users(names ...string) []string {
	var ids []string
	for _, n := range names {
		ids = append(ids, userID(n))
	}
	return ids
}

func TestPeersAtAnyMoment(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		encrypt := func(room string) {
			g.setState("alice", room, "m.room.encryption", "", map[string]any{"algorithm": "m.megolm.v1.aes-sha2"})
		}
		moments := []*roompb.Moment{g.moment()}
		shared := [][]string{nil}
		after := func(names ...string) {
			moments, shared = append(moments, g.moment()), append(shared, names)
		}
		first, second, plain := g.create(""), g.create(""), g.create("")
		g.act("dora", plain, "join")
		after()
		encrypt(first)
		encrypt(second)
		after()
		g.act("bob", first, "join")
		after("bob")
		g.act("bob", second, "join")
		g.act("carol", second, "join")
		after("bob", "carol")
		g.say("alice", plain, "something else")
		after("bob", "carol")
		g.act("bob", first, "leave")
		after("bob", "carol")
		encrypt(plain)
		after("bob", "carol", "dora")
		g.act("bob", second, "leave")
		g.to("alice", second, "invite", "bob")
		after("carol", "dora")
		g.act("alice", second, "leave")
		after("dora")
		g.act("alice", second, "join")
		g.act("bob", second, "join")
		after("bob", "carol", "dora")
		moments = append(moments, nil) // now
		shared = append(shared, shared[len(shared)-1])

		for i := range len(moments) - 1 {
			for j := i; j < len(moments); j++ {
				var began, ended []string
				for _, u := range users("bob", "carol", "dora") {
					before, now := slices.Contains(users(shared[i]...), u), slices.Contains(users(shared[j]...), u)
					if now && !before {
						began = append(began, u)
					}
					if before && !now {
						ended = append(ended, u)
					}
				}
				all := g.peers(&roompb.PeersRequest{After: moments[i], Through: moments[j], All: true})
				require.Equal(t, users(shared[j]...), all.Shared, "%d to %d", i, j)
				require.Equal(t, began, all.Began, "%d to %d", i, j)
				require.Equal(t, ended, all.Ended, "%d to %d", i, j)
				some := g.peers(&roompb.PeersRequest{After: moments[i], Through: moments[j], Users: users("carol", "nobody", "alice")})
				require.Equal(t, slices.Contains(shared[j], "carol"), slices.Contains(some.Shared, userID("carol")))
				require.LessOrEqual(t, len(some.Shared), 1)
				require.Equal(t, began, some.Began, "%d to %d", i, j)
				require.Equal(t, ended, some.Ended, "%d to %d", i, j)
			}
		}

		old := &roompb.Moment{Epoch: moments[0].Epoch + 1, Positions: moments[3].Positions}
		restored := g.peers(&roompb.PeersRequest{After: old, All: true})
		require.Equal(t, users("bob", "carol", "dora"), restored.Began, "positions of another log say nothing")
		require.Empty(t, restored.Ended)
		resp, err := g.client.Peers(t.Context(), &roompb.PeersRequest{UserId: "\xff", All: true})
		require.NoError(t, err)
		require.Empty(t, resp.Shared)

		rooms, err := g.client.EncryptedRooms(t.Context(), &roompb.EncryptedRoomsRequest{UserIds: users("carol", "dora", "nobody", "bob")})
		require.NoError(t, err)
		got, former := map[string][]string{}, map[string][]string{}
		for _, u := range rooms.Users {
			got[u.UserId], former[u.UserId] = u.RoomIds, u.FormerRoomIds
		}
		require.Equal(t, map[string][]string{
			userID("bob"): {second}, userID("carol"): {second}, userID("dora"): {plain},
		}, got)
		require.Equal(t, map[string][]string{userID("bob"): {first}, userID("carol"): nil, userID("dora"): nil}, former)
	})
}
