package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	identitypb "hongyan/api/identity"
	"hongyan/platform/httpx"
	"hongyan/service/gateway"
)

const syncPath = "/_matrix/client/v3/sync"

func TestATokenIsKnownForTwoSecondsFromTheStartOfItsLookUp(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	e.identity.hold(func() { e.clock.add(1500 * time.Millisecond) }) // the look-up takes that long
	require.Equal(t, 200, e.get(whoami, token("tok-alice")).status)
	e.identity.hold(nil)
	e.identity.set("tok-alice", nil)
	e.clock.add(499 * time.Millisecond)
	require.Equal(t, 200, e.get(whoami, token("tok-alice")).status, "1.999 s after the start")
	require.Equal(t, 1, e.identity.count())
	e.clock.add(time.Millisecond)
	require.Equal(t, "M_UNKNOWN_TOKEN", e.get(whoami, token("tok-alice")).code(), "2 s after the start")
	require.Equal(t, 2, e.identity.count())
}

// TestASlowLookUpIsMadeAgain holds the two seconds for those who waited, too: what was true when the look-up began may
// not be when it comes back.
func TestASlowLookUpIsMadeAgain(t *testing.T) {
	for _, cacheFor := range []time.Duration{0, 2 * time.Second} {
		e := newEdge(t, edgeOptions{config: func(c *gateway.Config) { c.Auth.CacheFor = cacheFor }})
		e.identity.hold(func() { // it has read that the token is good, which ends at once
			e.identity.set("tok-alice", nil)
			e.clock.add(2 * time.Second)
			e.identity.hold(nil)
		})
		require.Equal(t, "M_UNKNOWN_TOKEN", e.get(whoami, token("tok-alice")).code(), "cache_for %s", cacheFor)
		require.Equal(t, 2, e.identity.count())
		require.Zero(t, e.requests())

		e.identity.hold(func() { e.clock.add(1999 * time.Millisecond) })
		require.Equal(t, 200, e.get(whoami, token("tok-bob")).status, "in time")
		require.Equal(t, 3, e.identity.count())

		e.identity.hold(func() { e.clock.add(2 * time.Second) })
		require.Equal(t, 503, e.get(whoami, token("tok-alice2")).status, "not for ever")
		require.Equal(t, 11, e.identity.count())
	}
}

func TestATokenIsNotKnownLongerThanItLives(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	e.identity.set("short", &identitypb.AuthenticateResponse{
		UserId: "@alice:x", DeviceId: "A1", ExpiresAtMs: e.clock.Now().Add(300 * time.Millisecond).UnixMilli(),
	})
	require.Equal(t, 200, e.get(whoami, token("short")).status)
	e.clock.add(299 * time.Millisecond)
	require.Equal(t, 200, e.get(whoami, token("short")).status)
	require.Equal(t, 1, e.identity.count())
	e.clock.add(time.Millisecond)
	e.identity.set("short", nil)
	require.Equal(t, "M_UNKNOWN_TOKEN", e.get(whoami, token("short")).code())
}

func TestUnknownTokensAreNotRemembered(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	require.Equal(t, "M_UNKNOWN_TOKEN", e.get(whoami, token("later")).code())
	e.identity.set("later", &identitypb.AuthenticateResponse{UserId: "@late:x", DeviceId: "L"})
	require.Equal(t, "@late:x", e.get(whoami, token("later")).body["user"])
}

func TestRequestsAtTheSameTimeShareALookUp(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	entered, release := make(chan struct{}, 1), make(chan struct{})
	e.identity.hold(func() { entered <- struct{}{}; <-release })
	var wg sync.WaitGroup
	var ok atomic.Int32
	ask := func() {
		if a, err := e.try("GET", whoami, http.NoBody, token("tok-alice")); err == nil && a.status == 200 {
			ok.Add(1)
		}
	}
	wg.Go(ask)
	<-entered
	for range 20 {
		wg.Go(ask)
	}
	close(release)
	wg.Wait()
	require.EqualValues(t, 21, ok.Load())
	require.Equal(t, 1, e.identity.count())
}

func TestALookUpThatIsTooOldIsNotJoined(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	entered, release := make(chan struct{}), make(chan struct{})
	e.identity.hold(func() { entered <- struct{}{}; <-release })
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = e.try("GET", whoami, http.NoBody, token("tok-alice")) })
	<-entered // it has read that the token is good
	e.identity.set("tok-alice", nil)
	e.clock.add(2 * time.Second)
	e.identity.hold(nil)
	require.Equal(t, "M_UNKNOWN_TOKEN", e.get(whoami, token("tok-alice")).code())
	close(release)
	wg.Wait()
	require.Equal(t, "M_UNKNOWN_TOKEN", e.get(whoami, token("tok-alice")).code(), "nor kept when it comes back")
}

// TestTokensThatAreNoText are unknown ones, without asking identity, and counted like them.
func TestTokensThatAreNoText(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	for _, bad := range []string{"\xff", "a\xc3"} {
		before := e.identity.count()
		a := e.get(whoami, token(bad))
		require.Equal(t, 401, a.status)
		require.Equal(t, "M_UNKNOWN_TOKEN", a.code())
		require.Equal(t, 401, e.get(whoami+"?access_token="+url.QueryEscape(bad)).status)
		require.Equal(t, before, e.identity.count())
	}
}

func TestForgottenTokens(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	for _, tok := range []string{"tok-alice", "tok-alice2", "tok-bob"} {
		require.Equal(t, 200, e.get(whoami, token(tok)).status)
		e.identity.set(tok, nil)
	}
	e.forgetTokens("@alice:x", "A1")
	require.Equal(t, 401, e.get(whoami, token("tok-alice")).status)
	require.Equal(t, 200, e.get(whoami, token("tok-alice2")).status, "another device")
	require.Equal(t, 200, e.get(whoami, token("tok-bob")).status, "another user")
	e.forgetTokens("@alice:x")
	require.Equal(t, 401, e.get(whoami, token("tok-alice2")).status)
	require.Equal(t, 200, e.get(whoami, token("tok-bob")).status)
}

// TestALookUpInFlightIsForgottenToo holds up a look-up that has already read that the token is good.
func TestALookUpInFlightIsForgottenToo(t *testing.T) {
	for _, devices := range [][]string{nil, {"A1"}, {"other", "A1"}} {
		e := newEdge(t, edgeOptions{})
		entered, release := make(chan struct{}), make(chan struct{})
		e.identity.hold(func() { entered <- struct{}{}; <-release })
		first := make(chan answer, 1)
		go func() {
			a, _ := e.try("GET", whoami, http.NoBody, token("tok-alice"))
			first <- a
		}()
		<-entered
		e.identity.set("tok-alice", nil)
		e.identity.hold(nil)
		e.forgetTokens("@alice:x", devices...)
		close(release)
		require.Equal(t, 401, (<-first).status, "%v", devices)
		require.Equal(t, 401, e.get(whoami, token("tok-alice")).status)
		require.Zero(t, e.requests())
	}
}

func TestForgettingOthersKeepsALookUpInFlight(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	entered, release := make(chan struct{}), make(chan struct{})
	e.identity.hold(func() { entered <- struct{}{}; <-release })
	first := make(chan answer, 1)
	go func() {
		a, _ := e.try("GET", whoami, http.NoBody, token("tok-alice"))
		first <- a
	}()
	<-entered
	e.forgetTokens("@alice:x", "A2")
	e.forgetTokens("@bob:x")
	close(release)
	require.Equal(t, 200, (<-first).status)
	require.Equal(t, 1, e.identity.count())
}

// TestManyForgets goes beyond the number of users that are remembered one by one: what was looked up before stays
// forgotten.
func TestManyForgets(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	require.Equal(t, 200, e.get(whoami, token("tok-alice")).status)
	e.identity.set("tok-alice", nil)
	e.forgetTokens("@alice:x", "A1")
	for i := range 10_000 {
		e.forgetTokens(fmt.Sprintf("@user%d:x", i))
	}
	require.Equal(t, 401, e.get(whoami, token("tok-alice")).status)
	require.Equal(t, 200, e.get(whoami, token("tok-bob")).status)
}

func TestForgottenDevicesAreNotRememberedForEver(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	for i := range 6_000 {
		e.forgetTokens("@alice:x", fmt.Sprint("D", i))
	}
	require.LessOrEqual(t, e.service.Remembered(), 4096)
	require.Equal(t, 200, e.get(whoami, token("tok-alice")).status)
	e.identity.set("tok-alice", nil)
	e.forgetTokens("@alice:x", "A1")
	require.Equal(t, 401, e.get(whoami, token("tok-alice")).status)
}

// A gateway that leaves the registry is not told of tokens that end: it asks each time.
func TestAGatewayThatLeavesRemembersNoTokens(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	require.Equal(t, 200, e.get(whoami, token("tok-alice")).status)
	e.service.Leave()
	before := e.identity.count()
	for range 3 {
		require.Equal(t, 200, e.get(whoami, token("tok-alice")).status)
	}
	require.Equal(t, 3, e.identity.count()-before)
}

func TestTheCacheIsBounded(t *testing.T) {
	e := newEdge(t, edgeOptions{config: func(c *gateway.Config) { c.Auth.CacheEntries = 3 }})
	for i := range 10 {
		tok := fmt.Sprintf("tok-%d", i)
		e.identity.set(tok, &identitypb.AuthenticateResponse{UserId: fmt.Sprintf("@u%d:x", i), DeviceId: "D"})
		require.Equal(t, 200, e.get(whoami, token(tok)).status)
	}
	before := e.identity.count()
	for i := range 10 {
		require.Equal(t, 200, e.get(whoami, token(fmt.Sprintf("tok-%d", 9-i))).status)
	}
	require.Equal(t, 7, e.identity.count()-before, "the three newest are known, the rest is looked up")
}

func TestForgettingEndsThePollsOfTheDevice(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	type ended struct {
		token string
		answer
	}
	answers := make(chan ended, 3)
	tokens := []string{"tok-alice", "tok-alice2", "tok-bob"}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, tok := range tokens {
		wg.Go(func() {
			a, err := e.try("GET", syncPath, http.NoBody, token(tok), func(r *http.Request) { *r = *r.WithContext(ctx) })
			if err == nil {
				answers <- ended{tok, a}
			}
		})
		<-e.polls
	}
	e.identity.set("tok-alice", nil)
	e.forgetTokens("@alice:x", "A1")
	a := <-answers
	require.Equal(t, "tok-alice", a.token)
	require.Equal(t, 401, a.status)
	require.Equal(t, "M_UNKNOWN_TOKEN", a.code())
	require.Equal(t, []string{"*"}, a.header["Access-Control-Allow-Origin"])
	e.identity.set("tok-alice2", nil)
	e.forgetTokens("@alice:x")
	require.Equal(t, "tok-alice2", (<-answers).token)
	require.Empty(t, answers, "bob waits on")
	cancel()
	wg.Wait()
}

func TestAPollWhoseTokenIsStillGoodGoesOn(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	done := make(chan answer, 1)
	go func() {
		a, _ := e.try("GET", syncPath+"?since=s1", http.NoBody, token("tok-alice"))
		done <- a
	}()
	<-e.polls
	e.mu.Lock()
	e.poll = func(w http.ResponseWriter, r *http.Request) error {
		httpx.WriteJSON(w, http.StatusOK, map[string]any{"since": r.URL.Query().Get("since"), "suspended": httpx.CallerOf(r).Suspended})
		return nil
	}
	e.mu.Unlock()
	e.identity.set("tok-alice", &identitypb.AuthenticateResponse{UserId: "@alice:x", DeviceId: "A1", Suspended: true})
	e.forgetTokens("@alice:x", "A1")
	a := <-done
	require.Equal(t, 200, a.status)
	require.Equal(t, map[string]any{"since": "s1", "suspended": true}, a.body, "begun anew, with what is true now")
}

func TestAPollOfALockedAccountEnds(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	done := make(chan answer, 1)
	go func() {
		a, _ := e.try("GET", syncPath, http.NoBody, token("tok-alice"))
		done <- a
	}()
	<-e.polls
	e.identity.set("tok-alice", &identitypb.AuthenticateResponse{UserId: "@alice:x", DeviceId: "A1", Locked: true})
	e.forgetTokens("@alice:x")
	require.Equal(t, "M_USER_LOCKED", (<-done).code())
}

func TestPollsOfAnAccountAreBounded(t *testing.T) {
	e := newEdge(t, edgeOptions{config: func(c *gateway.Config) { c.Auth.MaxPolls = 2 }})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	poll := func(tok string) {
		wg.Go(func() {
			_, _ = e.try("GET", syncPath, http.NoBody, token(tok), func(r *http.Request) { *r = *r.WithContext(ctx) })
		})
		<-e.polls
	}
	poll("tok-alice")
	poll("tok-alice2")
	a := e.get(syncPath, token("tok-alice"))
	require.Equal(t, 429, a.status)
	require.Equal(t, "M_LIMIT_EXCEEDED", a.code())
	poll("tok-bob")
	cancel()
	wg.Wait()
}

func TestAPollEndsWithItsClient(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	gone := make(chan struct{})
	e.poll = func(_ http.ResponseWriter, r *http.Request) error {
		<-r.Context().Done()
		close(gone)
		return r.Context().Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = e.try("GET", syncPath, http.NoBody, token("tok-alice"), func(r *http.Request) { *r = *r.WithContext(ctx) })
	})
	<-e.polls
	cancel()
	wg.Wait()
	<-gone
}

// TestForgetsAndRequestsAtOnce checks the promise itself: a request that begins after ForgetTokens has answered is
// never let through on what was looked up before.
func TestForgetsAndRequestsAtOnce(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	stop := make(chan struct{})
	var current atomic.Value
	current.Store("")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = e.try("GET", whoami, http.NoBody, token(current.Load().(string)))
				}
			}
		})
	}
	for i := range 200 {
		tok := fmt.Sprint("tok-", i)
		e.identity.set(tok, &identitypb.AuthenticateResponse{UserId: "@alice:x", DeviceId: "A1"})
		current.Store(tok)
		require.Equal(t, 200, e.get(whoami, token(tok)).status)
		e.identity.set(tok, nil)
		e.forgetTokens("@alice:x", "A1")
		require.Equal(t, 401, e.get(whoami, token(tok)).status)
	}
	close(stop)
	wg.Wait()
}
