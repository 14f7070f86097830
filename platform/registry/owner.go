package registry

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"
)

// Assign gives each of the shards to one of the instances by rendezvous hashing: each pair of a shard and an instance
// has a score that depends on these two alone, and the best pairs win, as long as an instance has less than its fair
// share, shards/instances rounded up. Whoever has the same ids finds the same owners, in whatever order they come.
// The result has the index into ids of each shard's owner; nil where there are no ids.
func Assign(ids []string, shards int) []int {
	if len(ids) == 0 {
		return nil
	}
	type pair struct {
		score           uint64
		shard, instance int
	}
	pairs := make([]pair, 0, len(ids)*shards)
	for i, id := range ids {
		for s := range shards {
			pairs = append(pairs, pair{score(id, s), s, i})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.shard, b.shard), cmp.Compare(ids[a.instance], ids[b.instance]))
	})
	fair := (shards + len(ids) - 1) / len(ids)
	owners, load := make([]int, shards), make([]int, len(ids))
	for s := range owners {
		owners[s] = -1
	}
	for _, p := range pairs {
		if owners[p.shard] < 0 && load[p.instance] < fair {
			owners[p.shard] = p.instance
			load[p.instance]++
		}
	}
	return owners
}

// score is the rendezvous hash of an instance and a shard.
func score(id string, shard int) uint64 {
	h := fnv.New64a()
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(shard))
	_, _ = h.Write([]byte(id))
	_, _ = h.Write(n[:])
	// FNV alone spreads the last bytes poorly: mix as splitmix64 does.
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func readyOf(instances []Instance) []Instance {
	ready := make([]Instance, 0, len(instances))
	for _, i := range instances {
		if i.State == Ready {
			ready = append(ready, i)
		}
	}
	return ready
}

func bootIDs(instances []Instance) []string {
	ids := make([]string, len(instances))
	for i := range instances {
		ids[i] = instances[i].BootID
	}
	return ids
}
