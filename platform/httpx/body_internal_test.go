package httpx

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestStreamsAreBounded moves the deadline of a streamed body, but not for ever.
func TestStreamsAreBounded(t *testing.T) {
	in := BodyTime{Timeout: 30 * time.Second, Stream: true}
	began := time.Unix(1000, 0)
	for _, c := range []struct {
		after time.Duration
		n     int64
		until time.Duration
	}{
		{0, 0, 30 * time.Second}, {20 * time.Second, 1, 50 * time.Second}, {50 * time.Second, 1, time.Minute + time.Second/MinStreamRate},
		{10 * time.Minute, 10 << 20, 10*time.Minute + 30*time.Second}, {10 * time.Minute, 1 << 10, 61 * time.Second},
	} {
		require.WithinDuration(t, began.Add(c.until), in.deadline(began, began.Add(c.after), c.n), time.Millisecond, "after %s", c.after)
	}
}
