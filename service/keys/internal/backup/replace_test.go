package backup_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// rankKey is the key of the lowest rank that is not verified, as clients get it.
func rankKey(mark string) object { return fromServer(rank{}, mark) }

func fromServer(r rank, mark string) object {
	key := r.key(mark)
	key["first_message_index"], key["forwarded_count"] = float64(r.Index), float64(r.Forwarded)
	return key
}

// compare is the specification's rule: negative where a is the better key.
func compare(a, b rank) int {
	verified := func(r rank) int {
		if r.Verified {
			return 0
		}
		return 1
	}
	return cmp.Or(verified(a)-verified(b), cmp.Compare(a.Index, b.Index), cmp.Compare(a.Forwarded, b.Forwarded))
}

func randomRank(r *rand.Rand) rank {
	return rank{Verified: r.IntN(2) == 0, Index: r.Int64N(4), Forwarded: r.Int64N(4)}
}

func TestBetterKeyStays(t *testing.T) {
	for name, c := range map[string]struct {
		old, new rank
		replaces bool
	}{
		"verified beats all":             {rank{false, 0, 0}, rank{true, 9, 9}, true},
		"unverified never beats":         {rank{true, 9, 9}, rank{false, 0, 0}, false},
		"lower index":                    {rank{false, 5, 0}, rank{false, 4, 9}, true},
		"higher index":                   {rank{false, 4, 9}, rank{false, 5, 0}, false},
		"lower forwarded count":          {rank{true, 4, 3}, rank{true, 4, 2}, true},
		"higher forwarded count":         {rank{true, 4, 2}, rank{true, 4, 3}, false},
		"equal keeps what is there":      {rank{true, 4, 2}, rank{true, 4, 2}, false},
		"equal unverified keeps as well": {rank{}, rank{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.replaces, compare(c.new, c.old) < 0)
			onBoth(t, nil, func(t *testing.T, g *rig) {
				g.create()
				first := g.ok("PUT", at("1", "!a:hs", "s"), c.old.key("old"))
				require.Equal(t, object{"count": 1.0, "etag": "1"}, first)
				second := g.ok("PUT", at("1", "!a:hs", "s"), c.new.key("new"))
				require.InDelta(t, 1, second["count"], 0)
				want := fromServer(c.old, "old")
				if c.replaces {
					want = fromServer(c.new, "new")
				}
				require.Equal(t, want, g.ok("GET", at("1", "!a:hs", "s"), nil))
				require.Equal(t, c.replaces, first["etag"] != second["etag"])
			})
		})
	}
}

// TestModel compares random requests, one after the other, with a map.
func TestModel(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		g.create()
		r := rand.New(rand.NewPCG(1, 2))
		type place struct{ room, session string }
		type stored struct {
			rank
			mark string
		}
		model, etag := map[place]stored{}, "0"
		for step := range 300 {
			changed := false
			put := func(p place, k stored) object {
				old, ok := model[p]
				if !ok || compare(k.rank, old.rank) < 0 {
					model[p], changed = k, true
				}
				return k.key(k.mark)
			}
			drop := func(match func(place) bool) {
				for p := range model {
					if match(p) {
						delete(model, p)
						changed = true
					}
				}
			}
			random := func() place {
				return place{fmt.Sprintf("!%d:hs", r.IntN(3)), fmt.Sprintf("s/%d+", r.IntN(4))}
			}
			p := random()
			var answer object
			switch r.IntN(12) {
			case 0:
				drop(func(place) bool { return true })
				answer = g.ok("DELETE", at("1"), nil)
			case 1:
				drop(func(q place) bool { return q.room == p.room })
				answer = g.ok("DELETE", at("1", p.room), nil)
			case 2:
				drop(func(q place) bool { return q == p })
				answer = g.ok("DELETE", at("1", p.room, p.session), nil)
			case 3, 4, 5:
				sessions := object{}
				for range r.IntN(5) {
					q := random()
					if _, ok := sessions[q.session]; !ok {
						q.room = p.room
						sessions[q.session] = put(q, stored{randomRank(r), fmt.Sprint(step)})
					}
				}
				if r.IntN(2) == 0 {
					answer = g.ok("PUT", at("1", p.room), object{"sessions": sessions})
				} else {
					answer = g.ok("PUT", at("1"), object{"rooms": object{p.room: object{"sessions": sessions}}})
				}
			default:
				answer = g.ok("PUT", at("1", p.room, p.session), put(p, stored{randomRank(r), fmt.Sprint(step)}))
			}
			require.InDelta(t, len(model), answer["count"], 0, "step %d", step)
			require.Equal(t, changed, answer["etag"] != etag, "step %d: the etag changes when the keys do", step)
			etag = answer["etag"].(string)
			count, etagNow := g.state("1")
			require.Equal(t, len(model), count)
			require.Equal(t, etag, etagNow)
			want := object{}
			for p, k := range model {
				if want[p.room] == nil {
					want[p.room] = object{"sessions": object{}}
				}
				want[p.room].(object)["sessions"].(object)[p.session] = fromServer(k.rank, k.mark)
			}
			require.Equal(t, object{"rooms": want}, g.ok("GET", at("1"), nil), "step %d", step)
			inRoom := object{"sessions": object{}}
			if want[p.room] != nil {
				inRoom = want[p.room].(object)
			}
			require.Equal(t, inRoom, g.ok("GET", at("1", p.room), nil), "step %d", step)
		}
	})
}

// TestConcurrentPuts has many clients store keys of the same sessions by two instances at once. The best must stay.
func TestConcurrentPuts(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		g.create()
		instances := []*rig{g, g.instance(t)}
		const clients, rounds, sessions = 8, 12, 5
		var mu sync.Mutex
		best, failures := map[string]rank{}, []string(nil)
		var running sync.WaitGroup
		for client := range clients {
			running.Go(func() {
				r := rand.New(rand.NewPCG(uint64(client), 3))
				for round := range rounds {
					body, ranks := object{}, map[string]rank{}
					for range 1 + r.IntN(sessions) {
						session, k := fmt.Sprint(r.IntN(sessions)), rank{r.IntN(2) == 0, r.Int64N(1000), r.Int64N(1000)}
						ranks[session], body[session] = k, k.key(fmt.Sprint(client, round))
					}
					status, text, err := instances[r.IntN(2)].try("PUT", at("1", "!a:hs"), object{"sessions": body})
					mu.Lock()
					if err != nil || status != 200 {
						failures = append(failures, fmt.Sprint(status, string(text), err))
					}
					for session, k := range ranks {
						if old, ok := best[session]; !ok || compare(k, old) < 0 {
							best[session] = k
						}
					}
					mu.Unlock()
				}
			})
		}
		running.Wait()
		require.Empty(t, failures)
		got := g.ok("GET", at("1", "!a:hs"), nil)["sessions"].(object)
		require.Len(t, got, len(best))
		for session, k := range best {
			key := got[session].(object)
			delete(key, "session_data")
			want := fromServer(k, "")
			delete(want, "session_data")
			require.Equal(t, want, key)
		}
		count, _ := g.state("1")
		require.Equal(t, len(best), count)
	})
}
