package eventlog_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
)

func TestTrimKeepsTheHighestRanks(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		s, other := stream(t, l, "!a:hs"), stream(t, l, "!b:hs")
		put := func(s eventlog.Stream, key string, rank int64) {
			_, err := l.Append(t.Context(), eventlog.Append{
				Stream: s, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{{Kind: 7, Key: key, Body: []byte(key), Rank: rank}},
			})
			require.NoError(t, err)
		}
		keys := func(s eventlog.Stream) (keys []string) {
			records, err := l.Latest(t.Context(), s.ID, "")
			require.NoError(t, err)
			for _, r := range records {
				keys = append(keys, r.Key)
			}
			return keys
		}
		for i := range 10 {
			put(s, fmt.Sprint("r/alice/", i), int64(10-i))
			put(s, fmt.Sprint("r/alicf/", i), 1)
			put(other, fmt.Sprint("r/alice/", i), 1)
		}
		before, others := keys(s), keys(other)
		require.NoError(t, l.Trim(t.Context(), s.ID, "r/alice/", 9))
		require.Equal(t, before, keys(s), "not yet worth it")
		require.NoError(t, l.Trim(t.Context(), s.ID, "r/alice/", 8))
		require.NotContains(t, keys(s), "r/alice/8")
		require.NotContains(t, keys(s), "r/alice/9")
		require.Len(t, keys(s), 18)
		require.Equal(t, others, keys(other))
	})
}
