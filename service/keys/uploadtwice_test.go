package keys_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/keys"
)

// TestAClaimedKeyIsNotUploadedAgain repeats uploads whose keys were claimed meanwhile.
func TestAClaimedKeyIsNotUploadedAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.login("alice", "A1"), g.login("bob", "B1")
		body := object{"one_time_keys": object{curve + ":1": oneTime(alice, "one"), curve + ":2": oneTime(alice, "two")}}
		g.ok(alice, "/keys/upload", body)
		name, _ := g.claim(bob, alice)
		require.Equal(t, curve+":1", name)
		a := g.ok(alice, "/keys/upload", body)
		require.JSONEq(t, `{"one_time_key_counts":{"signed_curve25519":1}}`, a.body, "what was claimed counts as done")
		name, _ = g.claim(bob, alice)
		require.Equal(t, curve+":2", name)
		g.ok(alice, "/keys/upload", body)
		name, _ = g.claim(bob, alice)
		require.Empty(t, name, "each was handed out once")

		// The id of a claimed key may be given to another key, which is handed out once, too.
		for _, text := range []string{"another", "a third"} {
			again := object{"one_time_keys": object{curve + ":1": oneTime(alice, text), curve + ":3": oneTime(alice, "three")}}
			g.ok(alice, "/keys/upload", again)
			g.fails(alice, "/keys/upload", body, 400, "M_UNKNOWN")
			var texts []string
			for range 3 {
				_, text := g.claim(bob, alice)
				texts = append(texts, text)
				g.ok(alice, "/keys/upload", again)
			}
			require.Subset(t, []string{text, "three", ""}, texts)
			require.Contains(t, texts, text)
		}

		// A later device of the same id begins anew.
		g.people.drop("alice", "A1")
		g.login("alice", "A1")
		g.ok(alice, "/keys/upload", body)
		require.Equal(t, map[string]int64{curve: 2}, g.counts(alice).GetOneTime())
		g.people.remove("alice", "A1")
		await(t, "nothing is remembered of a device that is gone", func() bool { return g.rows("uploaded_key", "alice") == 0 })
	})
}

// TestTheNewestUploadsAreRemembered uploads and claims more keys than are remembered.
func TestTheNewestUploadsAreRemembered(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.login("alice", "A1"), g.login("bob", "B1")
		g.ok(alice, "/keys/upload", object{"one_time_keys": object{"other:0": "not claimed"}})
		var last object
		for n := range 7 {
			last = object{}
			for i := range 900 {
				last[fmt.Sprintf("%s:%d", curve, n*900+i)] = oneTime(alice, "x")
			}
			g.ok(alice, "/keys/upload", object{"one_time_keys": last})
			g.exec(`DELETE FROM one_time_key WHERE algorithm = $1`, curve) // as claims do
		}
		require.Equal(t, 5001, g.rows("uploaded_key", "alice"), "the newest, and the one that is not claimed")
		last["other:0"] = "not claimed"
		g.ok(alice, "/keys/upload", object{"one_time_keys": last})
		require.Equal(t, map[string]int64{"other": 1}, g.counts(alice).GetOneTime())
		name, _ := g.claim(bob, alice)
		require.Empty(t, name)
	})
}

// TestKeysOfBeforeAreNotUploadedAgain opens a database with keys of which it is not remembered that they were uploaded, as before
// migration 3.
func TestKeysOfBeforeAreNotUploadedAgain(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) { testKeysOfBefore(t, open(t)) })
	}
}

func testKeysOfBefore(t *testing.T, url string) {
	first := newRig(t, url, nil, keys.Default())
	alice, bob := first.login("alice", "A1"), first.login("bob", "B1")
	body := object{"one_time_keys": object{curve + ":1": oneTime(alice, "one")}}
	first.ok(alice, "/keys/upload", body)
	first.stop()
	first.exec(`DROP TABLE uploaded_key`)
	first.exec(`DELETE FROM keys_service_migration WHERE version_id >= 3`)
	g := newRig(t, url, first, keys.Default())
	g.fails(alice, "/keys/upload", object{"one_time_keys": object{curve + ":1": oneTime(alice, "two")}}, 400, "M_UNKNOWN")
	name, _ := g.claim(bob, alice)
	require.Equal(t, curve+":1", name)
	g.ok(alice, "/keys/upload", body)
	name, _ = g.claim(bob, alice)
	require.Empty(t, name)
}

// TestUploadsAreRepeatedWhileTheirKeysAreClaimed repeats uploads through two instances, neither of which knows of the other, while
// their keys are claimed.
func TestUploadsAreRepeatedWhileTheirKeysAreClaimed(t *testing.T) {
	url := databases["postgres"](t)
	first := newRig(t, url, nil, keys.Default())
	second := newRig(t, url, first, keys.Default())
	alice, bob := first.login("alice", "A1"), first.login("bob", "B1")
	const uploads, each = 20, 5
	var mu sync.Mutex
	seen, done := map[string]int{}, make(chan struct{})
	var uploading, claiming sync.WaitGroup
	for _, g := range []*rig{first, second} {
		for range 2 {
			uploading.Go(func() {
				for n := range uploads {
					all := object{}
					for i := range each {
						all[fmt.Sprintf("%s:%d-%d", curve, n, i)] = oneTime(alice, "x")
					}
					for range 3 {
						g.ok(alice, "/keys/upload", object{"one_time_keys": all})
					}
				}
			})
			claiming.Go(func() {
				for {
					over := false
					select {
					case <-done:
						over = true
					default:
					}
					name, _ := g.claim(bob, alice)
					if name == "" && over {
						return
					}
					mu.Lock()
					if name != "" {
						seen[name]++
					}
					mu.Unlock()
				}
			})
		}
	}
	uploading.Wait()
	close(done)
	claiming.Wait()
	require.Len(t, seen, uploads*each)
	for name, times := range seen {
		require.Equal(t, 1, times, name)
	}
}
