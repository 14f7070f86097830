package syncroom_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// changes asks /keys/changes between two tokens.
func (c *client) changes(from, to string) result {
	c.g.t.Helper()
	return result{c.g.t, map[string]any{"device_lists": c.ring(http.MethodGet, "/keys/changes?"+url.Values{"from": {from}, "to": {to}}.Encode(), nil)}}
}

func TestDeviceLists(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob, carol := g.client("alice"), g.client("bob"), g.client("carol")
		plain := alice.create(nil)
		carol.join(plain)
		require.False(t, alice.sync().has("device_lists"))
		steps := []struct {
			name          string
			do            func()
			changed, left []string
		}{
			{"own keys", alice.changeDevice, []string{"alice"}, nil},
			{"keys of who shares no encrypted room", carol.changeDevice, nil, nil},
			{"a first room", func() { bob.join(alice.encrypted()) }, []string{"bob"}, nil},
			{"keys of who shares a room", bob.changeDevice, []string{"bob"}, nil},
			{"another room with the same user", func() { bob.join(alice.encrypted()) }, nil, nil},
			{"encryption is switched on", func() { alice.state(plain, "m.room.encryption", "", encryption["content"]) }, []string{"carol"}, nil},
			{"who leaves", func() { carol.leave(plain) }, nil, []string{"carol"}},
			{"keys of who has left", carol.changeDevice, nil, nil},
			{"who comes back", func() { carol.join(plain) }, []string{"carol"}, nil},
			{"gone and back", func() { carol.leave(plain); carol.join(plain) }, nil, nil},
			{"keys between gone and back", func() { carol.leave(plain); carol.changeDevice(); carol.join(plain) }, []string{"carol"}, nil},
			{"an invite", func() {
				room := carol.create(map[string]any{"preset": "private_chat", "initial_state": []any{encryption}})
				carol.invite(room, alice)
				g.client("dora").say(g.client("dora").create(nil), "elsewhere")
			}, nil, nil},
		}
		for _, s := range steps {
			t.Run(s.name, func(t *testing.T) {
				from := alice.since
				s.do()
				want := func(r result) {
					t.Helper()
					require.Equal(t, append([]string{}, s.changed...), r.changed())
					require.Equal(t, append([]string{}, s.left...), r.left())
				}
				want(alice.sync())
				want(alice.changes(from, alice.since))
				want(alice.at(from, 0))
				g.restart()
				want(alice.at(from, 0))
				want(alice.changes(from, alice.since))
			})
		}
		invited := g.client("alice").at("", 0).get("rooms", "invite").v.(map[string]any)
		for room := range invited {
			dora := g.client("dora")
			carol.invite(room, dora)
			dora.join(room)
			alice.sync()
			alice.join(room)
			require.Equal(t, []string{"dora"}, alice.sync().changed(), "an accepted invite; carol is known already")
		}
		require.Len(t, invited, 1)
	})
}

func TestDeviceListsWakeWhomTheyConcern(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob, carol := g.client("alice"), g.client("bob"), g.client("carol")
		room := alice.encrypted()
		bob.join(room)
		carol.join(alice.create(nil))
		for _, c := range []*client{alice, bob, carol} {
			c.sync()
		}
		waiting, other := alice.parked(), carol.parked()
		asked := g.room.peers.Load()
		bob.changeDevice()
		require.Equal(t, []string{"bob"}, (<-waiting).changed())
		require.Equal(t, asked, g.room.peers.Load(), "whom a change concerns is found once for all who wait")
		require.Equal(t, []string{"bob"}, bob.sync().changed())
		require.Len(t, other, 0)
		carol.changeDevice()
		require.Equal(t, []string{"carol"}, (<-other).changed())
	})
}

// TestDeviceListsAreExact lets users do things at random and compares what one of them is told, by instances that come and
// go, with what must be told.
func TestDeviceListsAreExact(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		w := newWorld(g, random)
		second := g.startSync()
		alice := w.people[0]
		alice.sync()
		tokens, seen := []string{alice.since}, []moment{w.now()}
		for i := range 40 {
			for range 1 + random.IntN(5) {
				w.step()
			}
			switch random.IntN(4) {
			case 0:
				alice.node = second
			case 1:
				alice.node = nil
				g.restart()
			default:
				alice.node = nil
			}
			r := alice.sync()
			tokens, seen = append(tokens, alice.since), append(seen, w.now())
			w.check(t, r, seen[i], seen[i+1], i)
			old := random.IntN(i + 1)
			w.check(t, alice.at(tokens[old], 0), seen[old], seen[i+1], i)
			w.check(t, alice.changes(tokens[old], alice.since), seen[old], seen[i+1], i)
		}
	})
}

// world is what users do.
type world struct {
	g      *rig
	random *rand.Rand
	people []*client
	rooms  []string
	// joined and secret are by room, keys how often the device lists have changed, by user.
	joined map[string]map[string]bool
	secret map[string]bool
	keys   map[string]int
}

// moment is with whom the first user shares an encrypted room, and how often device lists had changed.
type moment struct {
	shared map[string]bool
	keys   map[string]int
}

func newWorld(g *rig, random *rand.Rand) *world {
	w := &world{g: g, random: random, joined: map[string]map[string]bool{}, secret: map[string]bool{}, keys: map[string]int{}}
	for _, name := range []string{"alice", "bob", "carol", "dora", "eve"} {
		w.people = append(w.people, g.client(name))
	}
	owner := g.client("owner") // stays, so that rooms can be joined again
	for range 4 {
		room := owner.create(nil)
		w.rooms = append(w.rooms, room)
		w.joined[room] = map[string]bool{"owner": true}
	}
	return w
}

func (w *world) step() {
	who, room := w.people[w.random.IntN(len(w.people))], w.rooms[w.random.IntN(len(w.rooms))]
	name := who.device[1:]
	switch n := w.random.IntN(10); {
	case n < 4 && !w.joined[room][name]:
		who.join(room)
		w.joined[room][name] = true
	case n < 7 && w.joined[room][name]:
		who.leave(room)
		delete(w.joined[room], name)
	case n == 7 && !w.secret[room] && w.random.IntN(2) == 0:
		w.g.client("owner").state(room, "m.room.encryption", "", encryption["content"])
		w.secret[room] = true
	case n == 8 && w.joined[room][name]:
		who.say(room, "something")
	default:
		who.changeDevice()
		w.keys[name]++
	}
}

func (w *world) now() moment {
	m := moment{shared: map[string]bool{}, keys: map[string]int{}}
	for room, members := range w.joined {
		if w.secret[room] && members["alice"] {
			for name := range members {
				m.shared[name] = true
			}
		}
	}
	for name, n := range w.keys {
		m.keys[name] = n
	}
	return m
}

func (w *world) check(t *testing.T, r result, from, to moment, i int) {
	t.Helper()
	changed, left := []string{}, []string{}
	for _, name := range []string{"alice", "bob", "carol", "dora", "eve", "owner"} {
		before, now := from.shared[name], to.shared[name]
		switch {
		case name == "alice":
			if from.keys[name] != to.keys[name] {
				changed = append(changed, name)
			}
		case now && (!before || from.keys[name] != to.keys[name]):
			changed = append(changed, name)
		case before && !now:
			left = append(left, name)
		}
	}
	slices.Sort(changed)
	require.Equal(t, changed, r.changed(), fmt.Sprintf("changed, round %d", i))
	require.Equal(t, left, r.left(), fmt.Sprintf("left, round %d", i))
}
