package keys_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	keyspb "hongyan/api/keys"
	logpb "hongyan/api/log"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/service/keys"
)

// claim claims one key and returns its name and its text; "" for none.
func (g *rig) claim(by, of device) (name, text string) {
	g.t.Helper()
	a := g.ok(by, "/keys/claim", object{"one_time_keys": object{userID(of.user): object{of.id: curve}}})
	for id, value := range a.get("one_time_keys", userID(of.user), of.id).Map() {
		name, text = id, value.Get("key").Str
	}
	return name, text
}

func TestKeysAreClaimedInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.login("alice", "A1"), g.login("bob", "B1")
		for _, id := range []string{"z", "m", "a"} { // not in the order of their names
			g.ok(alice, "/keys/upload", object{"one_time_keys": object{curve + ":" + id: oneTime(alice, "key "+id)}})
		}
		g.ok(alice, "/keys/upload", object{"fallback_keys": object{curve + ":f": oneTime(alice, "fallback")}})
		for i, want := range []string{"z", "m", "a"} {
			name, text := g.claim(bob, alice)
			require.Equal(t, curve+":"+want, name)
			require.Equal(t, "key "+want, text)
			require.Equal(t, int64(2-i), g.counts(alice).GetOneTime()[curve])
			require.Equal(t, []string{curve}, g.counts(alice).GetUnusedFallback())
		}
		for range 2 {
			name, text := g.claim(bob, alice)
			require.Equal(t, curve+":f", name)
			require.Equal(t, "fallback", text)
			require.Empty(t, g.counts(alice).GetUnusedFallback(), "it was handed out")
		}
		g.ok(alice, "/keys/upload", object{"fallback_keys": object{curve + ":f": oneTime(alice, "fallback")}})
		require.Empty(t, g.counts(alice).GetUnusedFallback(), "the same key stays used")
		g.ok(alice, "/keys/upload", object{"fallback_keys": object{curve + ":g": oneTime(alice, "another")}})
		require.Equal(t, []string{curve}, g.counts(alice).GetUnusedFallback())
		_, text := g.claim(bob, alice)
		require.Equal(t, "another", text)
	})
}

func TestClaimsOfManyDevices(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, second, bob := g.login("alice", "A1"), g.login("alice", "A/2"), g.login("bob", "B1")
		g.ok(alice, "/keys/upload", object{"one_time_keys": object{curve + ":1": oneTime(alice, "one")}})
		g.ok(second, "/keys/upload", object{"fallback_keys": object{curve + ":1": oneTime(second, "two")}})
		a := g.ok(bob, "/keys/claim", object{"timeout": 10000, "one_time_keys": object{
			"@alice:hs":   object{"A1": curve, "A/2": curve, "A3": curve, "A4": "other"},
			"@bob:hs":     object{"B1": curve},
			"@carol:hs":   object{"C1": curve},
			"@dave:hs":    object{},
			"@x:else.org": object{"X": curve},
		}})
		require.Equal(t, `{"A/2":{"signed_curve25519:1":{"key":"two","signatures":{"@alice:hs":{"ed25519:A/2":"signature of two"}}}},`+
			`"A1":{"signed_curve25519:1":{"key":"one","signatures":{"@alice:hs":{"ed25519:A1":"signature of one"}}}}}`,
			a.get("one_time_keys", "@alice:hs").Raw)
		require.Len(t, a.get("one_time_keys").Map(), 1, "who has no key is absent")
		require.Len(t, a.get("failures").Map(), 1)
		require.True(t, a.get("failures", "else.org").IsObject())
	})
}

// TestClaimsOutliveAnOwnerThatFails claims keys of many users, of whom the owners of some cannot be reached.
func TestClaimsOutliveAnOwnerThatFails(t *testing.T) {
	cfg := keys.Default()
	cfg.ClaimTimeout = 3 * time.Second
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, open(t), nil, cfg)
			const users = 40
			bob, wanted := g.login("bob", "B1"), object{}
			for i := range users {
				d := g.login(fmt.Sprint("alice", i), "A")
				g.ok(d, "/keys/upload", object{"one_time_keys": object{curve + ":1": oneTime(d, d.user)}})
				wanted[userID(d.user)] = object{"A": curve}
			}
			wanted["@x:else.org"] = object{"X": curve}
			var once sync.Map
			g.owners.set(func(_ context.Context, user string) error {
				_, before := once.LoadOrStore(user, true)
				if !before || strings.HasSuffix(user, "3:hs") { // everybody's the first time; always those of alice3, alice13, …
					return matrix.Unavailable(errors.New("no instance of keys"))
				}
				return nil
			})
			a := g.ok(bob, "/keys/claim", object{"one_time_keys": wanted})
			require.Len(t, a.get("one_time_keys").Map(), users-4, "what was claimed is answered")
			require.Len(t, a.get("failures").Map(), 1, "these are servers")
			require.True(t, a.get("failures", "else.org").IsObject())

			failed := object{"@alice3:hs": object{"A": curve}, "@alice13:hs": object{"A": curve}}
			g.fails(bob, "/keys/claim", object{"one_time_keys": failed}, 503, "M_UNKNOWN")
			failed["@alice4:hs"] = object{"A": curve} // its only key was claimed
			g.fails(bob, "/keys/claim", object{"one_time_keys": failed}, 503, "M_UNKNOWN")
			g.owners.set(nil)
			a = g.ok(bob, "/keys/claim", object{"one_time_keys": wanted})
			require.Len(t, a.get("one_time_keys").Map(), 4)
			require.Equal(t, "alice13", a.get("one_time_keys", "@alice13:hs", "A", curve+":1", "key").Str)
		})
	}
}

// TestClaimsDoNotWaitForAnOwner claims keys of users, of whom the owner of one does not answer.
func TestClaimsDoNotWaitForAnOwner(t *testing.T) {
	cfg := keys.Default()
	cfg.ClaimTimeout = 3 * time.Second
	g := newRig(t, databases["sqlite"](t), nil, cfg)
	bob, wanted := g.login("bob", "B1"), object{"@aaron:hs": object{"A": curve}}
	for _, name := range []string{"alice", "carol"} {
		d := g.login(name, "A")
		g.ok(d, "/keys/upload", object{"one_time_keys": object{curve + ":1": oneTime(d, name)}})
		wanted[userID(name)] = object{"A": curve}
	}
	g.owners.set(func(ctx context.Context, user string) error {
		if user != "@aaron:hs" {
			return nil
		}
		<-ctx.Done()
		return matrix.Unavailable(ctx.Err())
	})
	a := g.ok(bob, "/keys/claim", object{"one_time_keys": wanted})
	require.Len(t, a.get("one_time_keys").Map(), 2)
}

func TestCountsAreTold(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.login("alice", "A/1"), g.login("bob", "B1")
		shard := eventlog.ShardOf("@alice:hs", eventlog.DefaultShards)
		told := func(after int64) (position int64) {
			for _, log := range []string{"", "keys"} {
				page, err := g.log.Read(t.Context(), &logpb.ReadRequest{Shard: int32(shard), After: after, Log: log})
				require.NoError(t, err)
				if page.GetThrough() == after {
					return after
				}
				require.Len(t, page.GetRecords(), 1)
				r := page.GetRecords()[0]
				require.Equal(t, "@alice:hs", r.GetStream())
				require.EqualValues(t, keyspb.EntryKind_ENTRY_KIND_COUNTS, r.GetKind())
				require.Equal(t, "c/A%2F1", r.GetKey())
				changed := &keyspb.CountsChanged{}
				require.NoError(t, proto.Unmarshal(r.GetBody(), changed))
				require.Equal(t, "A/1", changed.GetDeviceId())
				position = r.GetPosition()
			}
			return position
		}
		g.ok(alice, "/keys/upload", object{
			"one_time_keys": object{curve + ":1": oneTime(alice, "one")}, "fallback_keys": object{curve + ":f": oneTime(alice, "f")},
		})
		uploaded := told(0)
		require.Positive(t, uploaded)
		g.claim(bob, alice)
		taken := told(uploaded)
		require.Greater(t, taken, uploaded)
		g.claim(bob, alice)
		used := told(taken)
		require.Greater(t, used, taken, "the fallback key was used")
		g.claim(bob, alice)
		require.Equal(t, used, told(used), "nothing has changed")

		heads, err := g.log.Heads(t.Context(), &logpb.HeadsRequest{Log: "device_list"})
		require.NoError(t, err)
		require.Len(t, heads.GetShard(), 1)
		_, err = g.log.Heads(t.Context(), &logpb.HeadsRequest{Log: "other"})
		require.ErrorContains(t, err, "no log")
	})
}

func TestClaimsThatAreRefused(t *testing.T) {
	cfg := keys.Default()
	cfg.ClaimDevices, cfg.QueryUsers = 2, 2
	g := newRig(t, databases["sqlite"](t), nil, cfg)
	d := g.login("alice", "A1")
	for name, tt := range map[string]struct {
		path string
		body any
		code string
	}{
		"claim: missing":         {"/keys/claim", "{}", "M_MISSING_PARAM"},
		"claim: no object":       {"/keys/claim", `{"one_time_keys":[]}`, "M_BAD_JSON"},
		"claim: a list":          {"/keys/claim", `{"one_time_keys":{"@a:hs":["A"]}}`, "M_BAD_JSON"},
		"claim: a number":        {"/keys/claim", `{"one_time_keys":{"@a:hs":{"A":1}}}`, "M_BAD_JSON"},
		"claim: no user":         {"/keys/claim", `{"one_time_keys":{"alice":{"A":"x"}}}`, "M_INVALID_PARAM"},
		"claim: no server":       {"/keys/claim", `{"one_time_keys":{"@a:no server":{"A":"x"}}}`, "M_INVALID_PARAM"},
		"claim: too many":        {"/keys/claim", `{"one_time_keys":{"@a:hs":{"A":"x","B":"x"},"@b:hs":{"A":"x"}}}`, "M_INVALID_PARAM"},
		"claim: no JSON":         {"/keys/claim", `{"one_time_keys":`, "M_NOT_JSON"},
		"query: missing":         {"/keys/query", "{}", "M_MISSING_PARAM"},
		"query: no list":         {"/keys/query", `{"device_keys":{"@a:hs":"A"}}`, "M_BAD_JSON"},
		"query: an object":       {"/keys/query", `{"device_keys":{"@a:hs":{}}}`, "M_BAD_JSON"},
		"query: null":            {"/keys/query", `{"device_keys":{"@a:hs":null}}`, "M_BAD_JSON"},
		"query: a number":        {"/keys/query", `{"device_keys":{"@a:hs":[1]}}`, "M_BAD_JSON"},
		"query: a list of users": {"/keys/query", `{"device_keys":["@a:hs"]}`, "M_BAD_JSON"},
		"query: no user":         {"/keys/query", `{"device_keys":{"@a":[]}}`, "M_INVALID_PARAM"},
		"query: no server":       {"/keys/query", `{"device_keys":{"@a:no server":[]}}`, "M_INVALID_PARAM"},
		"query: a bad port":      {"/keys/query", `{"device_keys":{"@a:else.org:x":[]}}`, "M_INVALID_PARAM"},
		"query: a NUL":           {"/keys/query", `{"device_keys":{"@a\u0000:hs":[]}}`, "M_BAD_JSON"},
		"query: a long id":       {"/keys/query", `{"device_keys":{"@` + strings.Repeat("a", 255) + `:hs":[]}}`, "M_INVALID_PARAM"},
		"query: too many":        {"/keys/query", `{"device_keys":{"@a:hs":[],"@b:hs":[],"@c:hs":[]}}`, "M_INVALID_PARAM"},
	} {
		t.Run(name, func(t *testing.T) { g.at(t).fails(d, tt.path, tt.body, 400, tt.code) })
	}
	a := g.ok(d, "/keys/query", `{"device_keys":{"@a:else.org":[]}}`)
	require.True(t, a.get("failures", "else.org").IsObject())
	require.Equal(t, "{}", a.get("device_keys").Raw)
}

// TestWhoSeesADeviceGetsAKeyOfIt claims from another instance than the device uploads to, as soon as the device is shown. A client
// that finds no key to claim leaves the device out for a while, which then cannot read what is encrypted meanwhile.
func TestWhoSeesADeviceGetsAKeyOfIt(t *testing.T) {
	url := databases["postgres"](t)
	first := newRig(t, url, nil, keys.Default())
	second := newRig(t, url, first, keys.Default())
	bob := second.login("bob", "B1")
	seen := int64(0)
	for i := range 40 {
		d := first.login("alice", fmt.Sprint("A", i))
		body := object{"device_keys": deviceKeys(t, d, newSigningKey()), "one_time_keys": object{curve + ":1": oneTime(d, "one")}}
		uploaded := make(chan answer)
		go func() { uploaded <- first.post(d, "/keys/upload", body) }()
		for users := []string(nil); len(users) == 0; {
			users, seen = second.changed(seen, "")
		}
		name, _ := second.claim(bob, d)
		require.Equal(t, 200, (<-uploaded).status)
		require.Equal(t, curve+":1", name, "device %d", i)
	}
}

// TestNoKeyIsHandedOutTwice lets two instances, neither of which knows of the other, hand out the same keys.
func TestNoKeyIsHandedOutTwice(t *testing.T) {
	url := databases["postgres"](t)
	first := newRig(t, url, nil, keys.Default())
	second := newRig(t, url, first, keys.Default())
	const devices, each, claimers = 4, 60, 6
	alice := make([]device, devices)
	for i := range alice {
		alice[i] = first.login("alice", fmt.Sprintf("A%d", i))
		all := object{}
		for n := range each {
			all[fmt.Sprintf("%s:%d", curve, n)] = oneTime(alice[i], fmt.Sprintf("%d of %d", n, i))
		}
		first.ok(alice[i], "/keys/upload", object{
			"one_time_keys": all, "fallback_keys": object{curve + ":f": oneTime(alice[i], "fallback")},
		})
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen, fallbacks := map[string]int{}, 0
	for c := range claimers {
		g := []*rig{first, second}[c%2]
		wg.Go(func() {
			req := &keyspb.ClaimRequest{UserId: "@alice:hs"}
			for _, d := range alice[:2+c%3] {
				req.Devices = append(req.Devices, &keyspb.DeviceAlgorithm{DeviceId: d.id, Algorithm: curve})
			}
			for range each {
				resp, err := g.client.Claim(context.Background(), req)
				mu.Lock()
				if err != nil {
					t.Errorf("claim: %v", err)
				}
				for _, k := range resp.GetKeys() {
					if k.GetFallback() {
						fallbacks++
					} else {
						seen[k.GetDeviceId()+" "+k.GetKeyId()]++
					}
				}
				mu.Unlock()
			}
		})
	}
	// Meanwhile one of the devices uploads further keys.
	wg.Go(func() {
		for n := range 20 {
			first.ok(alice[0], "/keys/upload", object{"one_time_keys": object{fmt.Sprintf("%s:x%d", curve, n): oneTime(alice[0], "x")}})
		}
	})
	wg.Wait()
	for key, times := range seen {
		require.Equal(t, 1, times, key)
	}
	left := 0
	for _, d := range alice {
		left += int(first.counts(d).GetOneTime()[curve])
	}
	require.Equal(t, devices*each+20, len(seen)+left, "none is lost while nothing fails")
	require.Positive(t, fallbacks)
	require.False(t, strings.Contains(fmt.Sprint(seen), curve+":f"))
}
