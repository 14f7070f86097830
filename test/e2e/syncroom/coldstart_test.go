package syncroom_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestColdStartReadsEachRoomOnce lets everybody come back at once to a service that knows nothing.
func TestColdStartReadsEachRoomOnce(t *testing.T) {
	g := onSQLite(t)
	const clients, rooms = 60, 3
	owner := g.client("owner")
	var ids [rooms]string
	for i := range ids {
		ids[i] = owner.create(nil)
	}
	all := make([]*client, clients)
	parallel(clients, func(i int) {
		all[i] = g.client(fmt.Sprint("user", i))
		for _, room := range ids {
			all[i].join(room)
		}
	})
	for _, c := range all {
		c.filter = `{"room":{"state":{"lazy_load_members":true}}}`
		c.sync()
	}
	for _, room := range ids {
		owner.sayAll(room, texts(0, 5))
	}
	g.restart()
	before := g.room.timelines.Load()
	var wg sync.WaitGroup
	results := make([]result, clients)
	for i, c := range all {
		wg.Go(func() { results[i] = c.poll(time.Minute) })
	}
	wg.Wait()
	for _, r := range results {
		for _, room := range ids {
			require.Equal(t, texts(0, 5), r.join(room).bodies())
			require.Equal(t, [2]int{5, 0}, r.join(room).unread())
		}
	}
	// Once for the gap, and once for what was never read.
	require.LessOrEqual(t, g.room.timelines.Load()-before, int64(2*rooms))
}

// TestOwnTransactionIDComesBackFromASharedRing: what is read for everybody keeps to itself what is for one.
func TestOwnTransactionIDComesBackFromASharedRing(t *testing.T) {
	g := onSQLite(t)
	alice, bob := g.client("alice"), g.client("bob")
	room := alice.create(nil)
	bob.join(room)
	alice.sync()
	bob.sync()
	alice.say(room, "mine")
	g.restart()
	require.Empty(t, bob.sync().join(room).list("timeline", "events")[0].str("unsigned", "transaction_id"))
	require.NotEmpty(t, alice.sync().join(room).list("timeline", "events")[0].str("unsigned", "transaction_id"))
}
