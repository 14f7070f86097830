package state_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/room/internal/state"
)

// model is a state as a map.
type model struct {
	members map[string]*state.Member
	entries map[[2]string]*state.Entry
}

func (m model) clone() model {
	c := model{map[string]*state.Member{}, map[[2]string]*state.Entry{}}
	for k, v := range m.members {
		c.members[k] = v
	}
	for k, v := range m.entries {
		c.entries[k] = v
	}
	return c
}

func check(t *testing.T, want model, got state.State) {
	t.Helper()
	counts := map[string]int{}
	for id, m := range want.members {
		require.Same(t, m, got.Member(id))
		counts[m.Membership]++
	}
	for k, e := range want.entries {
		require.Same(t, e, got.Get(k[0], k[1]))
		require.Equal(t, e.EventID, got.EventID(k[0], k[1]))
	}
	for _, membership := range []string{state.Join, state.Invite, state.Knock, state.Leave, state.Ban} {
		require.Equal(t, counts[membership], got.Count(membership), membership)
	}
	n := 0
	for m := range got.Members() {
		require.Same(t, want.members[m.UserID], m)
		n++
	}
	for e := range got.Entries() {
		require.Same(t, want.entries[[2]string{e.Type, e.Key}], e)
		n++
	}
	require.Equal(t, n, got.Len())
	require.Len(t, want.members, n-len(want.entries))
	var entries []*state.Entry
	var members []*state.Member
	for _, e := range want.entries {
		entries = append(entries, e)
	}
	for _, m := range want.members {
		members = append(members, m)
	}
	bytes := state.New(entries, members).Bytes()
	require.Equal(t, bytes, got.Bytes(), "the estimate does not drift")
}

// TestStateAgainstMaps changes states at random and checks that earlier ones stay what they were.
func TestStateAgainstMaps(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	memberships := []string{state.Join, state.Invite, state.Knock, state.Leave, state.Ban}
	type version struct {
		model model
		state state.State
	}
	now := version{model: model{}.clone()}
	kept := []version{{model{}.clone(), state.State{}}}
	for i := range 5000 {
		id := fmt.Sprintf("$%d", i)
		if r.IntN(3) > 0 {
			m := &state.Member{UserID: fmt.Sprintf("@%d:hs", r.IntN(700)), Membership: memberships[r.IntN(5)], EventID: id, Seq: int64(i)}
			now.state = now.state.WithMember(m)
			now.model.members[m.UserID] = m
		} else {
			e := &state.Entry{Type: fmt.Sprintf("t%d", r.IntN(20)), Key: fmt.Sprintf("k%d", r.IntN(20)), EventID: id, Seq: int64(i)}
			now.state = now.state.WithEntry(e)
			now.model.entries[[2]string{e.Type, e.Key}] = e
		}
		if i%500 == 0 {
			kept = append(kept, version{now.model.clone(), now.state})
		}
	}
	for _, v := range append(kept, now) {
		check(t, v.model, v.state)
	}
}

func TestEmptyState(t *testing.T) {
	var s state.State
	require.Nil(t, s.Get("m.room.create", ""))
	require.Nil(t, s.Event("m.room.create"))
	require.Empty(t, s.Membership("@a:hs"))
	require.Empty(t, s.EventID("m.room.member", "@a:hs"))
	require.Zero(t, s.Len())
	check(t, model{}, state.New(nil, nil))
}

// BenchmarkWithMember measures a join into rooms of several sizes: what it copies grows slowly.
func BenchmarkWithMember(b *testing.B) {
	for _, n := range []int{100, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var members []*state.Member
			for i := range n {
				members = append(members, &state.Member{UserID: fmt.Sprintf("@%d:hs", i), Membership: state.Join})
			}
			s := state.New(nil, members)
			m := &state.Member{UserID: "@new:hs", Membership: state.Join}
			b.ReportAllocs()
			for b.Loop() {
				s.WithMember(m)
			}
		})
	}
}
