package eventlog

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// These tests are inside the package: the tail has no door to the outside but Read, which hides whether it answered.

func stretchOf(first, last int64, body int) stretch {
	s := stretch{first: first, last: last}
	for p := first; p <= last; p++ {
		s.records = append(s.records, Record{Position: p, Body: make([]byte, body)})
	}
	return s
}

func positions(records []Record) []int64 {
	var out []int64
	for _, r := range records {
		out = append(out, r.Position)
	}
	return out
}

func requireTail(t *testing.T, tl *tail, after int64, want []int64, wantThrough int64) {
	t.Helper()
	records, through, ok := tl.read(0, after, 100)
	require.True(t, ok)
	require.Equal(t, want, positions(records))
	require.Equal(t, wantThrough, through)
}

func requireNone(t *testing.T, tl *tail, after int64) {
	t.Helper()
	_, _, ok := tl.read(0, after, 100)
	require.False(t, ok)
}

func TestTailServesOnlyWhatHasNoGap(t *testing.T) {
	tl := newTail(1, 1<<20)
	requireNone(t, tl, 0)
	tl.add(0, stretchOf(5, 6, 1))
	requireNone(t, tl, 3)
	requireTail(t, tl, 4, []int64{5, 6}, 6)
	requireNone(t, tl, 6) // nothing newer is known
	tl.add(0, stretchOf(7, 8, 1))
	requireTail(t, tl, 5, []int64{6, 7, 8}, 8)
	tl.add(0, stretchOf(1, 2, 1))
	requireNone(t, tl, 0) // from before it began
	requireTail(t, tl, 4, []int64{5, 6, 7, 8}, 8)
}

func TestTailBeginsAnewBehindAnotherProcess(t *testing.T) {
	tl := newTail(1, 1<<20)
	tl.add(0, stretchOf(1, 2, 1))
	tl.add(0, stretchOf(4, 5, 1)) // another process wrote 3
	requireNone(t, tl, 0)
	requireNone(t, tl, 2)
	requireTail(t, tl, 3, []int64{4, 5}, 5)
	tl.add(0, stretchOf(6, 6, 1))
	requireTail(t, tl, 4, []int64{5, 6}, 6)
}

func TestTailForgetsTheOldest(t *testing.T) {
	tl := newTail(2, 10*(recordOverhead+100))
	for p := int64(1); p <= 100; p++ {
		tl.add(0, stretchOf(p, p, 100))
		require.LessOrEqual(t, tl.bytes, tl.limit)
	}
	requireNone(t, tl, 89)
	requireTail(t, tl, 95, []int64{96, 97, 98, 99, 100}, 100)
	require.LessOrEqual(t, len(tl.order), 20)

	// Another shard's newer records push this one's out.
	for p := int64(1); p <= 10; p++ {
		tl.add(1, stretchOf(p, p, 100))
	}
	requireNone(t, tl, 99)
	require.LessOrEqual(t, tl.bytes, tl.limit)
}

func TestTailSkipsEmptyPositions(t *testing.T) {
	tl := newTail(1, 1<<20)
	s := stretchOf(1, 4, 1)
	s.records = s.records[1:3] // 1 and 4 were replaced within the batch
	tl.add(0, s)
	requireTail(t, tl, 0, []int64{2, 3}, 4)
	requireTail(t, tl, 3, nil, 4)
	records, through, ok := tl.read(0, 0, 1)
	require.True(t, ok)
	require.Equal(t, []int64{2}, positions(records))
	require.EqualValues(t, 2, through)
}

func TestTailCanBeOff(t *testing.T) {
	tl := newTail(1, -1)
	tl.add(0, stretchOf(1, 1, 1))
	requireNone(t, tl, 0)
}

func TestAfterPrefix(t *testing.T) {
	for prefix, want := range map[string]string{
		"": "", "a": "b", "a/": "a0", "é": "ê", "\uD7FF": "\uE000", "a\U0010FFFF": "b", "\U0010FFFF": "",
	} {
		require.Equal(t, want, AfterPrefix(prefix), "%q", prefix)
	}
}

func TestShardsOfABatchAreSpread(t *testing.T) {
	n := make([]int, DefaultShards)
	for i := range 6400 {
		n[ShardOf(string(rune('a'+i%26))+string(rune(0x100+i)), DefaultShards)]++
	}
	for shard, c := range n {
		require.InDelta(t, 100, c, 60, "shard %d", shard)
	}
	require.Equal(t, 54, ShardOf("!a:x", 64), "it never changes")
}

// TestTailForgetsPlacesOfRemovedRecords is that what was taken out of the middle, or all at once, leaves no trace that grows, and that
// the oldest of what is left still goes first.
func TestTailForgetsPlacesOfRemovedRecords(t *testing.T) {
	tl := newTail(2, 1<<20)
	tl.add(1, stretchOf(1, 3, 1))
	next := int64(1)
	for range 500 {
		s := stretchOf(next, next+9, 1)
		tl.add(0, s)
		tl.remove(0, positions(s.records[1:]))
		next += 10
	}
	require.Equal(t, 503, tl.count)
	require.LessOrEqual(t, len(tl.order), 2*tl.count+orderSlack)
	for range 500 { // where another process writes in between, what was before goes
		next += 20
		tl.add(0, stretchOf(next, next+9, 1))
	}
	require.Equal(t, 13, tl.count)
	require.LessOrEqual(t, len(tl.order), 2*tl.count+orderSlack)
	tl.limit = tl.bytes - 1
	tl.add(0, stretchOf(next+10, next+10, 1))
	_, _, ok := tl.read(1, 0, 10)
	require.False(t, ok, "the other shard's first was the oldest")
	requireTail(t, tl, next+8, []int64{next + 9, next + 10}, next+10)
}
