package room_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"hongyan/matrix/event"
	"hongyan/service/room"
)

// TestPerspectiveAgreesWithTheRules checks ranges that are computed once against the rules applied event by event.
func TestPerspectiveAgreesWithTheRules(t *testing.T) {
	visibilities := []event.HistoryVisibility{
		event.VisibilityWorldReadable, event.VisibilityShared, event.VisibilityInvited, event.VisibilityJoined,
	}
	memberships := []event.Membership{event.Join, event.Leave, event.Invite, event.Ban, event.Knock}
	rapid.Check(t, func(t *rapid.T) {
		head := rapid.Int64Range(1, 30).Draw(t, "head")
		visibility := map[int64]event.HistoryVisibility{}
		membership := map[int64]event.Membership{}
		for seq := int64(1); seq <= head+2; seq++ {
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				visibility[seq] = rapid.SampledFrom(visibilities).Draw(t, "visibility")
			case 1, 2:
				membership[seq] = rapid.SampledFrom(memberships).Draw(t, "membership")
			}
		}
		p := room.NewPerspective(head, visibility, membership)
		want := literally(head, visibility, membership)
		for seq := int64(1); seq <= head; seq++ {
			require.Equal(t, slices.Contains(want, seq), p.Sees(seq), "event %d", seq)
		}
		require.False(t, p.Sees(0))
		require.False(t, p.Sees(head+1), "not known yet")

		after := rapid.Int64Range(0, head).Draw(t, "after")
		through := rapid.Int64Range(0, head).Draw(t, "through")
		within := slices.DeleteFunc(slices.Clone(want), func(seq int64) bool { return seq <= after || seq > through })
		require.Equal(t, within, orEmpty(p.Forward(after, through)))
		slices.Reverse(within)
		require.Equal(t, within, orEmpty(p.Backward(after, through)))
	})
}

func orEmpty(seqs []int64) []int64 {
	if seqs == nil {
		return []int64{}
	}
	return seqs
}

// literally lists what the rules make visible, each event judged by itself.
func literally(head int64, visibility map[int64]event.HistoryVisibility, membership map[int64]event.Membership) []int64 {
	vis := []event.HistoryVisibility{event.VisibilityShared}
	mem := []event.Membership{event.Leave}
	var lastJoin int64
	for seq := int64(1); seq <= head; seq++ {
		v, m := vis[seq-1], mem[seq-1]
		if value, ok := visibility[seq]; ok {
			v = value
		}
		if value, ok := membership[seq]; ok {
			if value == event.Join && m != event.Join {
				lastJoin = seq
			}
			m = value
		}
		vis, mem = append(vis, v), append(mem, m)
	}
	allowed := func(seq, at int64) bool {
		return vis[at] == event.VisibilityWorldReadable || mem[at] == event.Join ||
			vis[at] == event.VisibilityShared && lastJoin > seq ||
			mem[at] == event.Invite && vis[at] == event.VisibilityInvited
	}
	seen := []int64{}
	for seq := int64(1); seq <= head; seq++ {
		ended := (mem[seq] == event.Leave || mem[seq] == event.Ban) &&
			mem[seq-1] != event.Leave && mem[seq-1] != event.Ban
		_, changed := visibility[seq]
		_, own := membership[seq]
		if allowed(seq, seq) || (changed || own) && allowed(seq, seq-1) || ended {
			seen = append(seen, seq)
		}
	}
	return seen
}
