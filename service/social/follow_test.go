package social_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
	"hongyan/service/social"
)

// TestWhatHappensIsTakenIn compares the database with the logs after many things have happened, at once and bit by bit.
func TestWhatHappensIsTakenIn(t *testing.T) {
	onBoth(t, func(_ *testing.T, g *rig) {
		for seed := range uint64(10) {
			g.happen(seed, 300)
			g.awaitModel()
		}
	})
}

// TestGoesOnAfterARestart ends an instance, lets things happen, and starts another: nothing is read again, and nothing is
// missing, also what happens to a room that was known before.
func TestGoesOnAfterARestart(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			w, url := newWorld(t), open(t)
			g := newRig(t, url, w, social.Default())
			w.people.register("anna", "Anna")
			w.rooms.room("r", "invite", "anna")
			w.happen(1, 500)
			g.finds("anna", "anna", "anna")
			g.awaitModel()
			g.stop()
			begun := w.people.begunSoFar() + w.rooms.begunSoFar()
			w.people.rename("anna", "Hannah")
			w.rooms.joinRule("r", "public")
			w.happen(2, 500)
			g = newRig(t, url, w, social.Default())
			g.awaits("somebody", "hannah", "anna")
			g.awaitModel()
			require.Equal(t, begun, w.people.begunSoFar()+w.rooms.begunSoFar(), "shards that were read from their beginning")
		})
	}
}

// TestOneInstanceFollowsForAll: all of them answer, and when the one that follows ends, or hangs, another one goes on.
func TestOneInstanceFollowsForAll(t *testing.T) {
	w, url := newWorld(t), databases["postgres"](t)
	first := newRig(t, url, w, social.Default())
	w.people.register("anna", "Anna")
	w.rooms.room("r", "public", "anna")
	first.finds("x", "anna", "anna")
	begun := w.people.begunSoFar() + w.rooms.begunSoFar()
	all := []*rig{first, newRig(t, url, w, social.Default()), newRig(t, url, w, social.Default())}
	last := all[len(all)-1]
	for i := range 6 {
		w.people.rename("anna", fmt.Sprintf("Name%dth", i))
		for _, g := range all {
			g.finds("x", fmt.Sprintf("name%dth", i), "anna")
		}
	}
	_, err := last.db.Exec(context.Background(), `UPDATE social_lease SET holder = 'hung'`)
	require.NoError(t, err)
	w.people.rename("anna", "Hung")
	last.awaits("x", "hung", "anna") // when the lease has run out
	for i, g := range all[:len(all)-1] {
		g.stop()
		w.people.rename("anna", fmt.Sprintf("Left%dth", i))
		last.awaits("x", fmt.Sprintf("left%dth", i), "anna")
	}
	w.happen(3, 500)
	last.awaitModel()
	require.LessOrEqual(t, w.people.begunSoFar()+w.rooms.begunSoFar(), begun+2*logShards, "only shards that had been empty")
}

// TestBeginsAnewInARestoredLog gives the logs another epoch, or a shorter past, and what is no more must be gone.
func TestBeginsAnewInARestoredLog(t *testing.T) {
	for name, test := range map[string]struct {
		keep  int
		epoch uint64
	}{"another epoch": {1, 8}, "the same, shorter": {1, 7}, "nothing left": {0, 8}} {
		for database, open := range databases {
			t.Run(name+"/"+database, func(t *testing.T) {
				w := newWorld(t)
				g := newRig(t, open(t), w, social.Default())
				w.people.register("anna", "Anna")
				w.people.register("gone", "Gone")
				w.rooms.room("r", "public", "anna", "gone")
				w.happen(4, 1000)
				g.awaitModel()
				g.finds("x", "gone", "gone")
				w.people.forget("gone")
				for u := range 150 {
					w.people.forget(fmt.Sprintf("user%d", u))
				}
				w.people.restore(test.keep, test.epoch)
				w.rooms.restore(test.keep, test.epoch)
				g.awaits("x", "gone")
				w.people.register("anna", "Anna")
				w.rooms.room("r", "public", "anna")
				g.awaits("x", "anna", "anna")
				g.awaitModel()
			})
		}
	}
}

// A restored backup may take a single shard's cursor away (eventlog.Renew). What is known of that shard is then from before.
func TestAShardThatBeginsAnewForgets(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			w, url := newWorld(t), open(t)
			g := newRig(t, url, w, social.Default())
			w.happen(5, 500)
			g.awaitModel()
			_, err := g.db.Exec(context.Background(), `DELETE FROM social_cursor WHERE shard = 1`)
			require.NoError(t, err)
			g.stop()
			for u := range 150 {
				if user := fmt.Sprintf("user%d", u); eventlog.ShardOf(userID(user), logShards) == 1 {
					w.people.forget(user)
				}
			}
			for _, log := range []*memoryLog{w.people.memoryLog, w.rooms.memoryLog} {
				log.shards[1] = log.shards[1][:3] // nobody reads it now
			}
			w.people.register("anna", "")
			w.happen(6, 100)
			g = newRig(t, url, w, social.Default())
			g.awaitModel()
		})
	}
}

// TestSearchesDoNotWaitForEver: while a log cannot be read, or nobody follows it, searches find what is known.
func TestSearchesDoNotWaitForEver(t *testing.T) {
	w, url := newWorld(t), databases["postgres"](t)
	g := newRig(t, url, w, social.Default())
	w.people.register("anna", "Anna")
	w.rooms.room("r", "public", "anna")
	g.finds("x", "anna", "anna")
	for _, log := range []*memoryLog{w.people.memoryLog, w.rooms.memoryLog} {
		log.fail(errors.New("the service is down"))
		g.finds("x", "anna", "anna")
		log.fail(nil)
	}
	_, err := g.db.Exec(context.Background(), `UPDATE social_lease SET holder = 'hung', until_ms = until_ms + 1000000000`)
	require.NoError(t, err)
	times := 0
	require.Eventually(t, func() bool { // until the instance knows that the lease is not its own
		times++
		name := fmt.Sprintf("Nobody takes in %dth", times)
		w.people.rename("anna", name)
		return len(g.search("x", name, 0).names()) == 0
	}, patience, tick)
	g.finds("x", "anna", "anna")
}
