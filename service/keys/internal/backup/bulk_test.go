package backup_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/keys/internal/backup"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// many are n keys in rooms of some hundred.
func many(n int, r rank, mark string) object {
	rooms := object{}
	for i := range n {
		room := fmt.Sprintf("!%03d:hs", i/300)
		if rooms[room] == nil {
			rooms[room] = object{"sessions": object{}}
		}
		rooms[room].(object)["sessions"].(object)[fmt.Sprintf("s%05d", i)] = r.key(mark)
	}
	return object{"rooms": rooms}
}

func TestThousandsOfKeys(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		g.create()
		const n = 5120 // 40 whole pages
		answer := g.ok("PUT", at("1"), many(n, rank{}, "a<b"))
		require.InDelta(t, n, answer["count"], 0)
		again := g.ok("PUT", at("1"), many(n, rank{}, "x"))
		require.Equal(t, answer, again, "nothing is better")
		require.Equal(t, toServer(many(n, rank{}, "a<b")), g.ok("GET", at("1"), nil))
		better := g.ok("PUT", at("1"), many(2000, rank{Verified: true}, "y"))
		require.InDelta(t, n, better["count"], 0)
		require.NotEqual(t, answer["etag"], better["etag"])
		require.Len(t, g.ok("GET", at("1", "!000:hs"), nil)["sessions"], 300)

		gone := g.ok("DELETE", at("1", "!000:hs"), nil)
		require.InDelta(t, n-300, gone["count"], 0)
		require.Equal(t, object{"sessions": object{}}, g.ok("GET", at("1", "!000:hs"), nil))
		require.Len(t, g.ok("GET", at("1"), nil)["rooms"], (n-1)/300)
	})
}

// toServer is what a body with keys is read as afterwards.
func toServer(body object) object {
	for _, room := range body["rooms"].(object) {
		for _, key := range room.(object)["sessions"].(object) {
			k := key.(object)
			k["first_message_index"], k["forwarded_count"] = float64(k["first_message_index"].(int64)), float64(k["forwarded_count"].(int64))
		}
	}
	return body
}

func TestRoomWithThousandsOfKeysIsRemoved(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		g.create()
		sessions := object{}
		for i := range 2000 {
			sessions[fmt.Sprint(i)] = rank{}.key("x")
		}
		g.ok("PUT", at("1", "!a:hs"), object{"sessions": sessions})
		g.ok("PUT", at("1", "!b:hs", "s"), rank{}.key("x"))
		require.InDelta(t, 1, g.ok("DELETE", at("1", "!a:hs"), nil)["count"], 0)
		require.Equal(t, object{"rooms": object{"!b:hs": object{"sessions": object{"s": rankKey("x")}}}}, g.ok("GET", at("1"), nil))
		require.Equal(t, 1, g.rows("backup_key"))
	})
}

// TestEmptiedWhileRead begins to read many keys, and removes them before it reads on: the answer must not look whole.
func TestEmptiedWhileRead(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		g.create()
		long := make([]byte, 32<<10) // beyond what buffers between the server and its client take
		for i := range long {
			long[i] = 'x'
		}
		sessions := object{}
		for i := range 200 {
			sessions[fmt.Sprint(i)] = rank{}.key(string(long))
		}
		for _, room := range []string{"!a:hs", "!b:hs"} {
			g.ok("PUT", at("1", room), object{"sessions": sessions})
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+"/_matrix/client/v3/room_keys/"+at("1"), nil)
		require.NoError(t, err)
		req.Header.Set("Test-User", g.user)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer func() { require.NoError(t, res.Body.Close()) }()
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.InDelta(t, 0, g.ok("DELETE", at("1"), nil)["count"], 0)
		_, err = io.ReadAll(res.Body)
		require.Error(t, err)
		require.Equal(t, object{"rooms": object{}}, g.ok("GET", at("1"), nil))
	})
}

func TestDeletedKeysAreCollected(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		g.run()
		bob := g.as("@bob:hs")
		bob.create()
		bob.ok("PUT", at("1", "!a:hs", "s"), rank{}.key("x"))
		g.create()
		g.ok("PUT", at("1"), many(1500, rank{}, "x"))
		require.InDelta(t, 0, g.ok("DELETE", at("1"), nil)["count"], 0)
		g.ok("PUT", at("1", "!a:hs", "s"), rank{}.key("new"))
		g.collected(2)
		require.Equal(t, rankKey("new"), g.ok("GET", at("1", "!a:hs", "s"), nil))

		g.create()
		g.ok("PUT", at("2"), many(1500, rank{}, "x"))
		g.ok("DELETE", "version/2", nil)
		g.fails(404, "M_NOT_FOUND", "GET", at("2"), nil)
		g.collected(2)

		require.NoError(t, g.backup.DeleteUser(t.Context(), "@alice:hs"))
		require.NoError(t, g.backup.DeleteUser(t.Context(), "@alice:hs"), "again")
		require.NoError(t, g.backup.DeleteUser(t.Context(), "@nobody:hs"))
		g.fails(404, "M_NOT_FOUND", "GET", "version", nil)
		g.fails(404, "M_NOT_FOUND", "PUT", at("1", "!a:hs", "s"), rank{}.key("x"))
		g.collected(1)
		require.Equal(t, 1, g.rows("backup_version"))
		require.Equal(t, rankKey("x"), bob.ok("GET", at("1", "!a:hs", "s"), nil))
	})
}

// collected waits until nothing is left of what was dropped, and so many keys are.
func (g *rig) collected(keys int) {
	g.Helper()
	require.Eventually(g, func() bool { return g.rows("backup_dropped") == 0 }, patience, 5*time.Millisecond)
	require.Equal(g, keys, g.rows("backup_key"))
}

// TestInstancesCollectTogether lets two instances remove the same keys.
func TestInstancesCollectTogether(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		g.create()
		g.ok("PUT", at("1"), many(8000, rank{}, "x"))
		g.ok("DELETE", "version/1", nil)
		require.Equal(t, 8000, g.rows("backup_key"), "nobody has collected yet")
		g.run()
		g.instance(t).run()
		g.collected(0)
	})
}

func TestConfig(t *testing.T) {
	require.NoError(t, backup.Default().Validate())
	for _, spoil := range []func(*backup.Config){
		func(c *backup.Config) { c.MaxVersions = 0 }, func(c *backup.Config) { c.MaxKeys = -1 }, func(c *backup.Config) { c.MaxBytes = 0 },
		func(c *backup.Config) { c.RequestKeys = 0 }, func(c *backup.Config) { c.LargeRequests = 0 },
	} {
		cfg := backup.Default()
		spoil(&cfg)
		require.Error(t, cfg.Validate())
	}
	require.Len(t, (*backup.Backup)(nil).Bindings(), 14)
}

func BenchmarkPut(b *testing.B) {
	for name, open := range databases {
		for _, n := range []int{1, 100, 1000, 5000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				g := newRig(b, open(b), nil)
				g.create()
				data := make([]byte, 900)
				for i := range data {
					data[i] = 'x'
				}
				body := many(n, rank{}, string(data))
				for b.Loop() {
					g.ok("PUT", at("1"), body)
					b.StopTimer()
					g.ok("DELETE", at("1"), nil)
					b.StartTimer()
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
			})
		}
	}
}
