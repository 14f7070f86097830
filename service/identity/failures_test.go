package identity_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
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

// Strangers who fail lock out themselves. When many do, from many addresses, nobody gets in from an address that is not
// known; who is at home does.
func TestLoginLimitOfStrangers(t *testing.T) {
	g := onSQLite(t, func(c *identity.Config) {
		c.LoginFailures = identity.FailureConfig{
			Burst: 3, Interval: time.Hour, AccountBurst: 10, AccountInterval: time.Minute,
		}
	})
	home, wrong := g.at("2001:db8:1::1"), obj{"password": "wrong"}
	u := home.register("alice")
	for i := range 3 {
		stranger := g.at(fmt.Sprintf("198.51.100.%d", i))
		for range 3 {
			stranger.login("alice", wrong).fails(403, matrix.CodeForbidden)
		}
		stranger.login("alice", nil).fails(429, matrix.CodeLimitExceeded)
	}
	g.login("alice", nil).ok() // 9 of 10
	g.at("203.0.113.1").login("alice", wrong).fails(403, matrix.CodeForbidden)
	g.at("203.0.113.2").login("alice", nil).fails(429, matrix.CodeLimitExceeded)
	home.login("alice", nil).ok()
	home.post(u.token, getToken, obj{"auth": u.passwordAuth()}).ok()
	// Home is a whole network of IPv6, and there guesses are limited too.
	for i := range 3 {
		g.at(fmt.Sprintf("2001:db8:1::%d", i+2)).login("alice", wrong).fails(403, matrix.CodeForbidden)
	}
	home.login("alice", nil).fails(429, matrix.CodeLimitExceeded)
	g.clock.add(time.Minute)
	g.at("203.0.113.2").login("alice", nil).ok()
	home.login("alice", nil).fails(429, matrix.CodeLimitExceeded)
}
