package identity_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/identity"
)

// Who knows the password gets in, however many do so at once; of those who do not, no more than may fail are checked.
func TestLoginLimitAtOnce(t *testing.T) {
	const burst = 3
	g := onSQLite(t, func(c *identity.Config) {
		c.LoginFailures = identity.FailureConfig{Burst: burst, Interval: time.Hour}
	})
	g.register("alice")
	status := func(body obj) map[int]int {
		var mu sync.Mutex
		var wg sync.WaitGroup
		counts := map[int]int{}
		for range 20 {
			wg.Go(func() {
				a := g.login("alice", body)
				mu.Lock()
				defer mu.Unlock()
				counts[a.status]++
			})
		}
		wg.Wait()
		return counts
	}
	require.Equal(t, map[int]int{200: 20}, status(nil))
	require.Equal(t, map[int]int{403: burst, 429: 20 - burst}, status(obj{"password": "wrong"}))
	require.Equal(t, map[int]int{429: 20}, status(nil))
	g.clock.add(time.Hour)
	require.Equal(t, map[int]int{200: 20}, status(nil))
}
