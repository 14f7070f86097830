package syncroom_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
)

func TestDrainAnswersPollsWithTheirToken(t *testing.T) {
	g := onSQLite(t)
	const clients = 20
	done := make(chan [2]string, clients)
	room := g.client("owner").create(nil)
	all := make([]*client, clients)
	for i := range all {
		all[i] = g.client("user" + string(rune('a'+i))).join(room)
	}
	for _, c := range all {
		c.sync()
		go func() {
			before := c.since
			r := c.poll(time.Minute)
			done <- [2]string{before, r.str("next_batch")}
		}()
	}
	require.Eventually(t, func() bool { return g.sync.service.Parked() == clients }, 10*time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	require.NoError(t, g.sync.service.Drain(ctx))
	for range clients {
		tokens := <-done
		require.Equal(t, tokens[0], tokens[1])
	}
}

// A poll that comes while others are sent away goes with them.
func TestDrainAnswersPollsThatCome(t *testing.T) {
	g := onSQLite(t)
	alice, bob := g.client("alice"), g.client("bob")
	for _, c := range []*client{alice, bob} {
		c.create(nil)
		c.sync()
	}
	before := map[*client]string{alice: alice.since, bob: bob.since}
	first := make(chan result, 1)
	go func() { first <- alice.poll(time.Hour) }()
	require.Eventually(t, func() bool { return g.sync.service.Parked() == 1 }, 10*time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- g.sync.service.Drain(ctx) }()
	require.Equal(t, before[bob], bob.poll(time.Hour).str("next_batch"))
	require.Equal(t, before[alice], (<-first).str("next_batch"))
	require.NoError(t, <-drained)
	require.Equal(t, before[bob], bob.at(before[bob], time.Hour).str("next_batch"), "nobody waits when it is over")
}

func TestDisconnectFreesAPoll(t *testing.T) {
	g := onSQLite(t)
	alice := g.client("alice")
	alice.create(nil)
	alice.sync()
	ctx, cancel := context.WithCancel(context.Background())
	r := httptest.NewRequest(http.MethodGet, "/_matrix/client/v3/sync?"+alice.query(alice.since, time.Minute), nil).WithContext(ctx)
	httpx.SetCaller(r.Header, httpx.Caller{UserID: alice.user, DeviceID: alice.device})
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.sync.handler.ServeHTTP(httptest.NewRecorder(), r)
	}()
	require.Eventually(t, func() bool { return g.sync.service.Parked() == 1 }, 10*time.Second, time.Millisecond)
	cancel()
	<-done
	require.Zero(t, g.sync.service.Parked())
}
