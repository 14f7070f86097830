package media_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/media"
)

// TestIdsBeforeContent makes ids, uploads to them and downloads.
func TestIdsBeforeContent(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		before := g.place.clock.now()
		a := g.do(request{method: "POST", path: createPath, caller: as("alice")}).is(200, "")
		require.Regexp(t, `^mxc://hs/[A-Za-z0-9_-]{32}$`, a.get("content_uri").Str)
		expires := time.UnixMilli(a.get("unused_expires_at").Int())
		require.WithinDuration(t, before.Add(24*time.Hour), expires, time.Minute)
		id := a.get("content_uri").Str[len("mxc://hs/"):]
		pending := g.get("bob", download(id)+"?timeout_ms=0").is(504, "M_NOT_YET_UPLOADED")
		require.Empty(t, pending.header.Get("Cache-Control"))
		g.get("bob", thumbnail(id, 1, 1, "&timeout_ms=0")).is(504, "M_NOT_YET_UPLOADED")
		require.JSONEq(t, `{}`, g.put("alice", id, []byte("late")).is(200, "").body)
		require.Equal(t, "late", g.get("bob", download(id)).is(200, "").body)
		g.put("alice", id, []byte("later")).is(409, "M_CANNOT_OVERWRITE_MEDIA")
		g.put("bob", id, []byte("later")).is(403, "M_FORBIDDEN")
	})
}

// TestOneOfTwoUploadsWins uploads to one id from several requests at once.
func TestOneOfTwoUploadsWins(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.create("alice")
		statuses := make([]int, 6)
		var wg sync.WaitGroup
		for i := range statuses {
			wg.Go(func() { statuses[i] = g.put("alice", id, []byte{'0' + byte(i)}).status })
		}
		wg.Wait()
		won := -1
		for i, status := range statuses {
			if status == 200 {
				require.Equal(t, -1, won)
				won = i
				continue
			}
			require.Equal(t, 409, status)
		}
		require.Equal(t, string([]byte{'0' + byte(won)}), g.get("x", download(id)).is(200, "").body)
		g.sweep()
		require.Equal(t, 1, g.blobs())
	})
}

// TestDownloadsWait downloads before the upload, through another instance too.
func TestDownloadsWait(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		deaf := *g.place
		deaf.bus = newPlace(t, "").bus // it hears of nothing, and looks
		for name, other := range map[string]*rig{"the same": g, "another": newRig(t, g.place, nil), "without the bus": newRig(t, &deaf, nil)} {
			t.Run(name, func(t *testing.T) {
				id := g.create("alice")
				got := make(chan answer, 1)
				go func() { got <- other.get("bob", download(id)) }()
				require.Eventually(t, func() bool { return media.Waiting(other.service) == 1 }, patience, time.Millisecond)
				g.put("alice", id, []byte("now")).is(200, "")
				require.Equal(t, "now", (<-got).is(200, "").body)
				require.Zero(t, media.Waiting(other.service))
			})
		}
	})
}

// TestWaitingEnds has downloads answered that wait when the instance leaves, and bounds how many wait.
func TestWaitingEnds(t *testing.T) {
	g := newRig(t, newPlace(t, databases["sqlite"](t)), func(c *media.Config) { c.Waiting = 1 })
	id := g.create("alice")
	got := make(chan answer, 1)
	go func() { got <- g.get("bob", download(id)) }()
	require.Eventually(t, func() bool { return media.Waiting(g.service) == 1 }, patience, time.Millisecond)
	g.get("bob", download(id)).is(504, "M_NOT_YET_UPLOADED")
	require.NoError(t, g.service.Drain(t.Context()))
	(<-got).is(504, "M_NOT_YET_UPLOADED")
	g.get("bob", download(id)).is(504, "M_NOT_YET_UPLOADED")
	require.NoError(t, g.service.Drain(t.Context()))
}

// TestUnusedIdsExpire lets ids expire, and bounds how many a user has.
func TestUnusedIdsExpire(t *testing.T) {
	few := func(c *media.Config) { c.MaxUnused = 3 }
	onBothWith(t, few, func(t *testing.T, g *rig) {
		used := g.create("alice")
		g.put("alice", used, []byte("x")).is(200, "")
		ids := []string{g.create("alice"), g.create("alice"), g.create("alice")}
		create := request{method: "POST", path: createPath, caller: as("alice")}
		require.Positive(t, g.do(create).is(429, "M_LIMIT_EXCEEDED").get("retry_after_ms").Int())
		g.create("bob")
		g.put("alice", ids[0], []byte("x")).is(200, "")
		ids[0] = g.create("alice")
		g.do(create).is(429, "M_LIMIT_EXCEEDED")

		g.place.clock.pass(24*time.Hour + time.Minute)
		for _, id := range ids {
			g.put("alice", id, []byte("x")).is(404, "M_NOT_FOUND")
			g.get("bob", download(id)+"?timeout_ms=0").is(404, "M_NOT_FOUND")
		}
		g.create("alice")
		g.place.clock.pass(28 * time.Hour)
		g.sweep()
		var rows int
		require.NoError(t, g.db.QueryRow(t.Context(), `SELECT count(*) FROM media`).Scan(&rows))
		require.Equal(t, 2, rows, "those that are used")
		g.get("bob", download(used)).is(200, "")
	})
}

// TestIdsThatNeverExpire switches the age off.
func TestIdsThatNeverExpire(t *testing.T) {
	never := func(c *media.Config) { c.UnusedExpiresAfter = 0 }
	onBothWith(t, never, func(t *testing.T, g *rig) {
		a := g.do(request{method: "POST", path: createPath, caller: as("alice")}).is(200, "")
		require.False(t, a.get("unused_expires_at").Exists())
		g.place.clock.pass(1000 * time.Hour)
		g.sweep()
		g.put("alice", a.get("content_uri").Str[len("mxc://hs/"):], []byte("x")).is(200, "")
	})
}
