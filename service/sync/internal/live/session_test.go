package live_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/sync/internal/live"
)

func TestSessionsKnowWhatADeviceHas(t *testing.T) {
	cfg := live.Default()
	cfg.UserSessions = 2
	u := newWorld(t, cfg).start().attach("@alice")
	request := func(since, token string, tick uint64, members ...uint64) live.View {
		v := u.View("DEVICE", since)
		v.Issued(since, token, tick, members)
		return v
	}
	request("", "t1", 5, 1)
	v := request("t1", "t2", 6, 2)
	require.EqualValues(t, 5, v.Tick)
	require.True(t, v.Knows(1), "its answer's token came back")
	require.False(t, v.Knows(2), "the answer may be lost")

	v = request("t1", "t2'", 6, 2)
	require.EqualValues(t, 5, v.Tick, "a repeated request looks from where it did")
	require.True(t, v.Knows(1))
	require.False(t, v.Knows(2))

	v = request("t2'", "t3", 7)
	require.EqualValues(t, 6, v.Tick)
	require.True(t, v.Knows(2))

	v = request("t0", "t1''", 8)
	require.Zero(t, v.Tick)
	require.False(t, v.Knows(1), "an old token: nothing is known")

	for i := range 3 {
		other := u.View(fmt.Sprint("OTHER", i), "")
		other.Issued("", "o", 9, []uint64{4})
	}
	v = u.View("DEVICE", "t1''")
	require.Zero(t, v.Tick, "the session was forgotten for others")
}
