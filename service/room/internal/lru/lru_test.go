package lru_test

import (
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/room/internal/lru"
)

func weigh(_ string, v int64) int64 { return v }

func TestCacheDropsWhatWasNotUsedForLongest(t *testing.T) {
	c := lru.New(10, weigh)
	c.Put("a", 4)
	c.Put("b", 4)
	_, ok := c.Get("a")
	require.True(t, ok)
	c.Put("c", 4)
	_, ok = c.Get("b")
	require.False(t, ok, "b was used before a")
	v, ok := c.Get("a")
	require.True(t, ok)
	require.Equal(t, int64(4), v)
	require.Equal(t, 2, c.Len())
}

func TestCacheWeighsAgainWhenReplaced(t *testing.T) {
	c := lru.New(10, weigh)
	c.Put("a", 9)
	c.Put("a", 1)
	c.Put("b", 9)
	require.Equal(t, 2, c.Len())
	c.Put("b", 11)
	_, ok := c.Get("b")
	require.False(t, ok, "too large to be held, and the old value must not stay")
	require.Equal(t, 1, c.Len())
}

func TestCacheIsSafeForConcurrentUse(t *testing.T) {
	c := lru.New(100, weigh)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 1000 {
				key := strconv.Itoa((g + i) % 50)
				c.Put(key, int64(i%7+1))
				c.Get(key)
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, c.Len(), 100)
}
