package social_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"hongyan/service/social"
)

// The benchmark's town.
const (
	townPeople = 100_000
	// townHermits share no room with those who search, and are in no public room.
	townHermits = 20_000
	// townRooms are the rooms that "busy" is in.
	townRooms = 2_000
)

// newTown is a deployment of 100,000 users in 90,000 rooms with 650,000 members: everybody is in five rooms of a few, a tenth in a
// room of 10,000, and a twentieth in a public one. "busy" is in 2,000 rooms, "quiet" in three, and "alone" in none.
func newTown(b *testing.B) *world {
	w := newWorld(b)
	w.people.wake, w.rooms.wake = func(int, int64) {}, func(int, int64) {}
	random := rand.New(rand.NewPCG(1, 2))
	first := []string{"Anna", "Andrea", "Bela", "Carl", "Dora", "Emil", "Frida", "Georg", "Hanna", "Ivan", "Jana", "Karl", "Lena", "Max"}
	last := []string{"Schmidt", "Novak", "Garcia", "Smith", "Rossi", "Kim", "Andersson", "Weber", "Mayer", "Popov"}
	family, given := []rune("王李张刘陈杨黄赵吴周"), []rune("伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英")
	name := func(i int) string {
		if i%5 == 0 {
			return string([]rune{family[random.IntN(len(family))], given[random.IntN(len(given))], given[random.IntN(len(given))]})
		}
		return first[random.IntN(len(first))] + " " + last[random.IntN(len(last))]
	}
	for i := range townPeople {
		if i < townHermits {
			w.people.register(fmt.Sprintf("z%d", i), "Zoe "+last[i%len(last)])
			continue
		}
		w.people.register(fmt.Sprintf("user%d", i), name(i))
	}
	for _, user := range []string{"busy", "quiet", "alone"} {
		w.people.register(user, "")
	}
	user := func(i int) string {
		if i < townHermits {
			return fmt.Sprintf("z%d", i)
		}
		return fmt.Sprintf("user%d", i)
	}
	for i := range townPeople {
		circle, from := townHermits, 0 // hermits are among themselves, and so are the others
		if i >= townHermits {
			circle, from = townPeople-townHermits, townHermits
		}
		for n := range 5 {
			w.rooms.member(fmt.Sprintf("small%d-%d", n, from+(i*7919+n*104729)%circle), user(i), "join")
		}
		if i >= townHermits && i%10 == 0 {
			w.rooms.member("large", user(i), "join")
		}
		if i >= townHermits && i%20 == 1 {
			w.rooms.member("public", user(i), "join")
		}
	}
	w.rooms.joinRule("public", "public")
	for i := range townRooms {
		room := fmt.Sprintf("busy%d", i)
		w.rooms.member(room, "busy", "join")
		for range 20 {
			w.rooms.member(room, user(townHermits+random.IntN(townPeople-townHermits)), "join")
		}
	}
	for i := range 3 {
		w.rooms.member(fmt.Sprintf("busy%d", i), "quiet", "join")
	}
	return w
}

// BenchmarkDirectory searches among 100,000 users, over HTTP on loopback. That the logs are taken in is measured once.
func BenchmarkDirectory(b *testing.B) {
	for name, open := range databases {
		b.Run(name, func(b *testing.B) {
			w := newTown(b)
			began := time.Now()
			g := newRig(b, open(b), w, social.Default())
			require.Eventually(b, g.caughtUp, 10*time.Minute, 100*time.Millisecond)
			b.Logf("%s: %d users and their rooms taken in within %v", name, townPeople, time.Since(began).Round(time.Second))
			for _, who := range []string{"busy", "quiet", "alone"} {
				for _, term := range []string{"@user30001:hs", "user300", "anna", "anna schmidt", "a", "王", "强", "zoe", "z", "smith zoe"} {
					b.Run(who+"/"+term, func(b *testing.B) {
						for b.Loop() {
							g.search(who, term, 0)
						}
						b.ReportMetric(float64(len(gjson.Get(g.search(who, term, 0).body, "results").Array())), "found")
					})
				}
			}
		})
	}
}

// caughtUp tells whether both logs are taken in.
func (g *rig) caughtUp() bool {
	var done int
	for _, log := range []*memoryLog{g.people.memoryLog, g.rooms.memoryLog} {
		for shard, records := range log.shards {
			var position int
			err := g.db.QueryRow(g.t.Context(), `SELECT position FROM social_cursor WHERE follower = $1 AND shard = $2`, log.name, shard).
				Scan(&position)
			if err == nil && position == len(records) {
				done++
			}
		}
	}
	return done == 2*logShards
}
