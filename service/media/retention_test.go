package media_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/media"
)

const retention = 30 * 24 * time.Hour

// TestRetention removes media that nobody fetches, where that is wanted.
func TestRetention(t *testing.T) {
	onBothWith(t, func(c *media.Config) { c.Retention = retention }, func(t *testing.T, g *rig) {
		unused, fetched := g.upload("alice", "", "", []byte("unused")), g.upload("alice", "", "", []byte("fetched"))
		shown := g.upload("bob", "image/png", "", asPNG(t, halves(90, 50)))
		reserved := g.create("bob")
		g.put("bob", reserved, []byte("late")).is(200, "")
		g.place.clock.pass(retention - time.Hour)
		g.sweep()
		g.get("bob", download(fetched)).is(200, "")
		g.get("alice", thumbnail(shown, 32, 32, "&method=crop")).is(200, "")
		require.Equal(t, 4, g.count("media"))
		g.place.clock.pass(2 * time.Hour)
		g.sweep()
		for _, id := range []string{unused, reserved} {
			g.get("alice", download(id)).is(404, "M_NOT_FOUND")
		}
		g.get("alice", download(fetched)).is(200, "")
		g.get("alice", download(shown)).is(200, "")
		require.Equal(t, 3, g.blobs(), "two contents and a thumbnail")
		require.Equal(t, int64(len("fetched")), uploadedBy(g, "alice"))

		// Of what an earlier version has stored it is not known when it was fetched: it counts from now.
		_, err := g.db.Exec(t.Context(), `UPDATE media SET used_ms = 0`)
		require.NoError(t, err)
		g.place.clock.pass(2 * retention)
		g.sweep()
		require.Equal(t, 2, g.count("media"))
		g.place.clock.pass(retention + time.Hour)
		g.sweep()
		require.Zero(t, g.count("media")+g.count("content")+g.count("thumbnail")+g.blobs())
		require.Zero(t, uploadedBy(g, "alice")+uploadedBy(g, "bob"))
	})
}

// TestNoRetention keeps media for ever by default.
func TestNoRetention(t *testing.T) {
	onBoth(t, func(_ *testing.T, g *rig) {
		id := g.upload("alice", "", "", []byte("kept"))
		g.place.clock.pass(10 * 365 * 24 * time.Hour)
		g.sweep()
		g.get("alice", download(id)).is(200, "")
	})
	cfg := media.Default()
	require.NoError(t, cfg.Validate())
	cfg.Retention = time.Hour // less than it is known when media were fetched
	require.ErrorContains(t, cfg.Validate(), "retention")
}
