package syncroom_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestColdStartReadsEachRoomOnce lets everybody come back at once, with two polls each, to a service that knows nothing.
func TestColdStartReadsEachRoomOnce(t *testing.T) {
	g := onSQLite(t)
	const clients, rooms = 60, 3
	owner := g.client("owner")
	var ids [rooms]string
	for i := range ids {
		ids[i] = owner.create(nil)
	}
	owner.state(ids[0], "m.room.encryption", "", encryption["content"])
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
	before, peers := g.room.timelines.Load(), g.room.peers.Load()
	receipts, joins := g.room.receipts.Load(), g.room.joins.Load()
	var wg sync.WaitGroup
	results := make([]result, 2*clients)
	for i, c := range slices.Concat(all, all) {
		again := *c
		wg.Go(func() { results[i] = again.poll(time.Minute) })
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
	require.LessOrEqual(t, g.room.receipts.Load()-receipts, int64(2*rooms))
	require.LessOrEqual(t, g.room.joins.Load()-joins, int64(rooms*clients), "both polls of a client count together")
	require.Equal(t, peers, g.room.peers.Load(), "nobody joined or left: nobody asks who shares the encrypted room")
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
