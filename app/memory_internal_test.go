package app

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A busy process is left to the collector's own pace; an idle one gives back what it holds, once.
func TestMemoryIsGivenBackWhenIdle(t *testing.T) {
	const mib = 1 << 20
	quiet := heapUse{allocated: 1000 * mib, live: 50 * mib, excess: 60 * mib}
	cases := map[string]struct {
		last, now heapUse
		done      uint64
		want      bool
	}{
		"idle with much garbage":       {quiet, heapUse{1001 * mib, 50 * mib, 60 * mib}, 0, true},
		"busy":                         {quiet, heapUse{1100 * mib, 50 * mib, 60 * mib}, 0, false},
		"idle with nothing to give":    {quiet, heapUse{1001 * mib, 50 * mib, 10 * mib}, 0, false},
		"idle and done a moment ago":   {quiet, heapUse{1001 * mib, 50 * mib, 60 * mib}, 1000 * mib, false},
		"a large heap in steady use":   {heapUse{9000 * mib, 1024 * mib, 300 * mib}, heapUse{9100 * mib, 1024 * mib, 300 * mib}, 0, false},
		"a small heap, hardly in use":  {heapUse{10 * mib, 1 * mib, 20 * mib}, heapUse{11 * mib, 1 * mib, 20 * mib}, 0, false},
		"a small heap after its start": {heapUse{30 * mib, 1 * mib, 20 * mib}, heapUse{31 * mib, 1 * mib, 20 * mib}, 0, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, wantsCollection(c.last, c.now, c.done)) })
	}
	now := readHeap()
	require.Positive(t, now.allocated)
}
