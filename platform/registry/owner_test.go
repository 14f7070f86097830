package registry_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"hongyan/platform/obs/obstest"
	"hongyan/platform/registry"
)

func TestMain(m *testing.M) { obstest.Main(m) }

const shards = 64

func idsOf(t *rapid.T, least, most int) []string {
	return rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9-]{1,20}`), least, most, rapid.ID[string]).Draw(t, "ids")
}

// owners returns the id that owns each shard.
func owners(ids []string, shards int) []string {
	out := make([]string, shards)
	for s, i := range registry.Assign(ids, shards) {
		out[s] = ids[i]
	}
	return out
}

func TestAssignIsBalanced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := idsOf(t, 1, 80)
		count := rapid.IntRange(1, 128).Draw(t, "shards")
		load := map[string]int{}
		for _, id := range owners(ids, count) {
			load[id]++
		}
		fair := (count + len(ids) - 1) / len(ids)
		for id, n := range load {
			require.LessOrEqual(t, n, fair, id)
		}
	})
}

func TestAssignIsTheSameForAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := idsOf(t, 1, 20)
		want := owners(ids, shards)
		shuffled := slices.Clone(ids)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		require.Equal(t, want, owners(shuffled, shards))
	})
}

// Every caller of every release must find these owners: a change of the function moves rooms between instances of
// different versions during an upgrade.
func TestAssignGolden(t *testing.T) {
	require.Equal(t, []int{1, 2, 2, 0, 1, 1, 0, 2}, registry.Assign([]string{"a", "b", "c"}, 8))
	require.Nil(t, registry.Assign(nil, 8))
}

// When an instance comes or goes, at most twice as many shards move as the fair shares before and after ask for. (Without caps
// only the newcomer's would; with them everybody's fair share changes: of 64, 15 instances have at most 5, and 16 have
// just 4.)
func TestAssignMovesLittle(t *testing.T) {
	for n := 1; n <= 20; n++ {
		var moved, needed int
		for round := range 50 {
			var ids []string
			for i := range n + 1 {
				ids = append(ids, fmt.Sprintf("instance-%d-%d", round, i))
			}
			before, after := owners(ids[:n], shards), owners(ids, shards)
			surplus := map[string]int{}
			for s := range shards {
				surplus[before[s]]++
				surplus[after[s]]--
				if before[s] != after[s] {
					moved++
				}
			}
			for _, more := range surplus {
				needed += max(more, 0) // these must leave
			}
		}
		require.LessOrEqual(t, float64(moved), 2*float64(needed), "%d to %d instances", n, n+1)
	}
}

func BenchmarkAssign(b *testing.B) {
	var ids []string
	for i := range 10 {
		ids = append(ids, fmt.Sprint("instance-", i))
	}
	for b.Loop() {
		registry.Assign(ids, shards)
	}
}
