package media_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/platform/sqldb"
	"hongyan/service/media"
)

// TestPreviewTimes asks for how a page was: the preview before that time counts, or else the first after.
func TestPreviewTimes(t *testing.T) {
	onBothSites(t, nil, func(t *testing.T, g *rig, s *site) {
		clock := g.place.clock
		address := s.url("/page")
		begin := clock.now()
		for i, title := range []string{"first", "second", "third"} {
			s.html("/page", "<title>"+title+"</title>")
			require.Equal(t, title, g.preview("alice", address).is(200, "").get("og:title").Str)
			require.Equal(t, title, g.titleAt(address, clock.now().Add(-59*time.Second)), "clients round down")
			clock.pass(59 * time.Minute)
			require.Equal(t, title, g.preview("alice", address).is(200, "").get("og:title").Str, "it is fresh")
			require.Equal(t, i+1, s.hits("/page"))
			clock.pass(23 * time.Hour)
		}
		for late, want := range map[time.Duration]string{
			-time.Hour: "first", time.Minute: "first", 23 * time.Hour: "first", 25 * time.Hour: "second", 47 * time.Hour: "second", 49 * time.Hour: "third",
		} {
			require.Equal(t, want, g.titleAt(address, begin.Add(late)), late)
		}
		require.Equal(t, 3, s.hits("/page"))
		// Of a time that has not come, or just has, it is as of now.
		s.html("/page", "<title>fourth</title>")
		require.Equal(t, "fourth", g.titleAt(address, clock.now().Add(time.Hour)))
		require.Equal(t, "fourth", g.titleAt(address, clock.now().Add(-time.Minute)))
		// What was not seen then is seen now.
		s.html("/other", "<title>new</title>")
		require.Equal(t, "new", g.titleAt(s.url("/other"), begin))
		g.get("alice", previewOf(s.url("/missing"))+"&ts=1").is(502, "M_UNKNOWN")
		g.get("alice", previewOf(s.url("/missing"))+"&ts=1").is(502, "M_UNKNOWN")
		require.Equal(t, 1, s.hits("/missing"))
	})
}

// TestPreviewsGo removes previews when their time has come, and their pictures unless somebody has uploaded the same.
func TestPreviewsGo(t *testing.T) {
	onBothSites(t, nil, func(t *testing.T, g *rig, s *site) {
		alone, shared := asPNG(t, halves(64, 48)), asPNG(t, halves(48, 64))
		s.says("/alone.png", "image/png", alone)
		s.says("/shared.png", "image/png", shared)
		upload := g.upload("bob", "image/png", "", shared)
		ids := map[string]string{}
		for _, path := range []string{"/alone.png", "/shared.png"} {
			ids[path] = g.preview("alice", s.url(path)).image()
			g.get("bob", thumbnail(ids[path], 32, 32, "&method=crop")).is(200, "")
		}
		g.sweep()
		require.Equal(t, 4, g.blobs())
		g.place.clock.pass(media.Default().URLPreviews.KeepFor - time.Minute)
		g.sweep()
		require.Equal(t, 2, g.count("preview"))
		g.place.clock.pass(2 * time.Minute)
		g.sweep()
		require.Zero(t, g.count("preview"))
		require.Equal(t, 2, g.blobs(), "what was uploaded stays, with its thumbnail")
		require.Equal(t, 1, g.count("media"))
		require.Equal(t, 1, g.count("content"))
		require.Equal(t, 1, g.count("thumbnail"))
		for _, id := range ids {
			g.get("bob", download(id)).is(404, "M_NOT_FOUND")
			g.get("bob", thumbnail(id, 32, 32, "&method=crop")).is(404, "M_NOT_FOUND")
		}
		require.True(t, g.get("alice", download(upload)).is(200, "").body == string(shared))
		require.NotEqual(t, ids["/alone.png"], g.preview("alice", s.url("/alone.png")).image(), "it is made again")
	})
}

// TestPreviewsAreBounded keeps no more of them than there may be, and no more of their pictures.
func TestPreviewsAreBounded(t *testing.T) {
	size := int64(len(asPNG(t, halves(64, 64))))
	onBothSites(t, func(c *media.PreviewsConfig) { c.MaxPreviews, c.MaxImagesBytes = 150, 2*size+size/2 }, func(t *testing.T, g *rig, s *site) {
		s.html("/page", "<title>T</title>")
		trim := func() {
			g.place.clock.pass(media.TrimEvery)
			g.sweep()
		}
		for i := range 153 {
			g.preview("alice", s.url(fmt.Sprintf("/page?%d", i))).is(200, "")
			g.place.clock.pass(time.Millisecond)
		}
		trim()
		require.Eventually(t, func() bool { return g.count("preview") == 150 }, patience, time.Millisecond)
		g.preview("alice", s.url("/page?0")).is(200, "")
		g.preview("alice", s.url("/page?152")).is(200, "")
		require.Equal(t, 154, s.hits("/page"), "the oldest went")

		for i := range 4 {
			s.says("/p.png", "image/png", append(asPNG(t, halves(64, 64)), byte(i))) // of other content
			g.preview("alice", s.url(fmt.Sprintf("/p.png?%d", i))).is(200, "")
			g.place.clock.pass(time.Millisecond)
		}
		require.Equal(t, 4, g.count("content"))
		trim()
		require.Eventually(t, func() bool { return g.count("content") <= 2 }, patience, time.Millisecond)
		g.sweep()
		require.Equal(t, g.count("content"), g.blobs())
	})
}

// TestPreviewTextIsBounded keeps no more of what pages say than there may be, and does not add it up while no preview is made.
func TestPreviewTextIsBounded(t *testing.T) {
	const most = 100 << 10
	onBothSites(t, func(c *media.PreviewsConfig) { c.MaxTextBytes = most }, func(t *testing.T, g *rig, s *site) {
		s.html("/page", "<title>T</title>"+metas(50, "<"))
		trim := func() {
			g.place.clock.pass(media.TrimEvery)
			g.sweep()
		}
		sum := func(of string) (n int) {
			require.NoError(t, g.db.QueryRow(t.Context(), "SELECT COALESCE(sum("+of+"), 0) FROM preview").Scan(&n))
			return n
		}
		made := 0
		preview := func() {
			a := g.preview("alice", s.url(fmt.Sprintf("/page?%d", made))).is(200, "")
			require.LessOrEqual(t, len(a.body), 16<<10)
			require.Greater(t, len(a.body), 4<<10)
			g.place.clock.pass(time.Millisecond)
			made++
		}
		for range 150 {
			preview()
		}
		require.Greater(t, sum("answer_bytes"), 8*most)
		require.Equal(t, sum("octet_length(answer)"), sum("answer_bytes"))
		trim()
		require.Eventually(t, func() bool { return sum("answer_bytes") <= most }, patience, time.Millisecond)
		require.Positive(t, g.count("preview"))
		g.preview("alice", s.url(fmt.Sprintf("/page?%d", made-1))).is(200, "")
		require.Equal(t, made, s.hits("/page"), "the newest are kept")

		preview()
		trim()
		_, err := g.db.Exec(t.Context(), `UPDATE preview SET answer_bytes = 2 * $1`, most) // as nothing does
		require.NoError(t, err)
		rows := g.count("preview")
		trim()
		require.Equal(t, rows, g.count("preview"))
		preview()
		trim()
		require.Eventually(t, func() bool { return sum("answer_bytes") <= most }, patience, time.Millisecond)
	})
}

// TestPreviewInPlaceOfFailure has a preview replace a failure just when that is removed: the preview stays.
func TestPreviewInPlaceOfFailure(t *testing.T) {
	for name, open := range databases {
		if name == "sqlite" { // one writes at a time
			continue
		}
		t.Run(name, func(t *testing.T) {
			g := newRig(t, newPlace(t, open(t)), previews(nil))
			s := newSite(t)
			g.preview("alice", s.url("/page")).is(502, "M_UNKNOWN")
			g.place.clock.pass(media.FailedFor + time.Second)
			swept := make(chan error, 1)
			require.NoError(t, g.db.Write(t.Context(), func(ctx context.Context, tx sqldb.Tx) error {
				n, err := tx.Exec(ctx, `UPDATE preview SET failed = false, answer = '{"og:title":"T"}', remove_ms = $1 WHERE failed`,
					g.place.clock.now().Add(time.Hour).UnixMilli())
				if err != nil || n != 1 {
					return fmt.Errorf("replaced %d: %w", n, err)
				}
				go func() { swept <- media.Sweep(context.WithoutCancel(ctx), g.service) }()
				g.waitsForLock()
				return nil
			}))
			require.NoError(t, <-swept)
			require.Equal(t, "T", g.preview("alice", s.url("/page")).is(200, "").get("og:title").Str)
			require.Equal(t, 1, s.hits("/page"))
		})
	}
}

// waitsForLock waits until somebody waits for a lock.
func (g *rig) waitsForLock() {
	g.t.Helper()
	require.Eventually(g.t, func() bool {
		var n int
		require.NoError(g.t, g.db.QueryRow(g.t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n))
		return n > 0
	}, patience, time.Millisecond)
}

// TestSweepGoesOn has the table of previews fail: blobs that nobody needs are removed all the same, and what failed is told.
func TestSweepGoesOn(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		require.NoError(t, media.BeginBlob(t.Context(), g.service, "loose"))
		require.Equal(t, 1, g.blobs())
		_, err := g.db.Exec(t.Context(), `ALTER TABLE preview RENAME TO away`)
		require.NoError(t, err)
		g.place.clock.pass(24 * time.Hour)
		require.ErrorContains(t, media.Sweep(t.Context(), g.service), "remove previews")
		require.Zero(t, g.blobs())
		require.Zero(t, g.count("loose_blob"))
	})
}

// gatedSite has a page that answers when a test lets it.
func gatedSite(t *testing.T, path string) (s *site, began, open chan struct{}) {
	s = newSite(t)
	began, open = make(chan struct{}, 100), make(chan struct{}, 100)
	picture := asPNG(t, halves(64, 48))
	s.has(path, func(w http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		select {
		case <-open:
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Content-Type", "image/png")
		_, _ = w.Write(picture)
	})
	return s, began, open
}

// ahead asks for a preview, which the returned function waits for.
func (g *rig) ahead(user, address string) func() answer {
	done := make(chan answer, 1)
	go func() { done <- g.preview(user, address) }()
	return func() answer { return <-done }
}

func (g *rig) waitingPreviews(user string, n int) {
	g.t.Helper()
	require.Eventually(g.t, func() bool { return media.WaitingPreviews(g.service, as(user).UserID) == n }, patience, time.Millisecond)
}

// TestPreviewIsMadeOnce has many want a preview at once: one makes it, and if its client goes away another does.
func TestPreviewIsMadeOnce(t *testing.T) {
	g := newRig(t, newPlace(t, databases["sqlite"](t)), previews(nil))
	s, began, open := gatedSite(t, "/page")
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+previewOf(s.url("/page")), nil)
		if err == nil {
			httpx.SetCaller(r.Header, as("carol"))
			_, err = http.DefaultClient.Do(r) //nolint:bodyclose // there is no answer
		}
		gone <- err
	}()
	<-began
	var answers []func() answer
	for range 3 {
		answers = append(answers, g.ahead("alice", s.url("/page")), g.ahead("bob", s.url("/page")))
	}
	g.waitingPreviews("alice", 3)
	g.waitingPreviews("bob", 3)
	require.Equal(t, 1, s.hits("/page"))
	leave()
	require.ErrorIs(t, <-gone, context.Canceled)
	<-began
	open <- struct{}{}
	first := answers[0]().image()
	for _, a := range answers[1:] {
		require.Equal(t, first, a().image())
	}
	require.Equal(t, 2, s.hits("/page"))
	require.Equal(t, 1, g.count("media"))
}

// TestPreviewTurns bounds what one user may want at once, and keeps others from waiting for it.
func TestPreviewTurns(t *testing.T) {
	g := newRig(t, newPlace(t, databases["sqlite"](t)), previews(func(c *media.PreviewsConfig) { c.AtOnce, c.UserAtOnce, c.UserWaiting = 3, 2, 2 }))
	s, began, open := gatedSite(t, "/page")
	var answers []func() answer
	for i := range 4 {
		answers = append(answers, g.ahead("alice", s.url(fmt.Sprintf("/page?%d", i))))
		if i < 2 {
			<-began
			continue
		}
		g.waitingPreviews("alice", i-1)
	}
	refused := g.preview("alice", s.url("/page?more")).is(429, "M_LIMIT_EXCEEDED")
	require.Positive(t, refused.get("retry_after_ms").Int())
	answers = append(answers, g.ahead("bob", s.url("/page?bob")))
	<-began // alice has two of the three places only
	for range answers {
		open <- struct{}{}
	}
	for _, a := range answers {
		a().is(200, "")
	}
}

// TestSlowSite has two users want much of a site that answers nobody: they do not have all places, so a third user's page of another
// site is made meanwhile.
func TestSlowSite(t *testing.T) {
	const other = "127.0.0.2"
	g := newRig(t, newPlace(t, databases["sqlite"](t)), previews(func(c *media.PreviewsConfig) {
		c.Allow = append(c.Allow, other)
		c.AtOnce, c.UserAtOnce, c.HostAtOnce = 4, 2, 2
	}))
	s, began, open := gatedSite(t, "/page")
	s.html("/fast", "<title>fast</title>")
	var answers []func() answer
	for i := range 2 {
		answers = append(answers, g.ahead("alice", s.url(fmt.Sprintf("/page?%d", i))))
		<-began
	}
	for i := range 2 {
		answers = append(answers, g.ahead("bob", s.url(fmt.Sprintf("/page?bob%d", i))))
		g.waitingPreviews("bob", i+1)
	}
	require.Equal(t, "fast", g.preview("carol", s.at(other, "/fast")).is(200, "").get("og:title").Str)
	require.Equal(t, "fast", g.preview("bob", s.at(other, "/fast?bob")).is(200, "").get("og:title").Str, "before what he waits for")
	require.Empty(t, began)
	for range answers {
		open <- struct{}{}
	}
	for _, a := range answers {
		a().is(200, "")
	}
	require.Equal(t, 4, s.hits("/page"))
	require.Zero(t, media.Making(g.service))
}

// TestPreviewOfTwoInstances has two instances make the same preview at once: one is kept, with one picture.
func TestPreviewOfTwoInstances(t *testing.T) {
	for name, open := range databases {
		if name == "sqlite" { // belongs to one process
			continue
		}
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, open(t))
			one, two := newRig(t, p, previews(nil)), newRig(t, p, previews(nil))
			s, began, open := gatedSite(t, "/page")
			answers := []func() answer{one.ahead("alice", s.url("/page")), two.ahead("bob", s.url("/page"))}
			<-began
			<-began
			open <- struct{}{}
			open <- struct{}{}
			id := answers[0]().image()
			require.Equal(t, id, answers[1]().image())
			require.Equal(t, 1, one.count("media"))
			one.sweep()
			require.Equal(t, 1, one.blobs())
			two.get("bob", download(id)).is(200, "")
		})
	}
}

// TestPreviewsAndUploadsTogether removes previews while the same picture is uploaded and shown again: what is there can be read, and
// in the end nothing is left over.
func TestPreviewsAndUploadsTogether(t *testing.T) {
	// They go long before what is being uploaded counts as given up.
	const keep = 3 * time.Minute
	brief := func(c *media.PreviewsConfig) { c.FreshFor, c.KeepFor = 2*time.Minute, keep }
	onBothSites(t, brief, func(t *testing.T, g *rig, s *site) {
		picture := asPNG(t, halves(64, 48))
		s.says("/p.png", "image/png", picture)
		var all sync.WaitGroup
		for w := range 4 {
			all.Go(func() {
				for i := range 8 {
					switch w {
					case 0:
						g.preview("alice", s.url(fmt.Sprintf("/p.png?%d", i))).is(200, "")
					case 1:
						id := g.upload("bob", "image/png", "", picture)
						g.get("bob", thumbnail(id, 32, 32, "&method=crop"))
						g.get("bob", download(id)).is(200, "")
						g.remove(id, false)
					case 2:
						g.place.clock.pass(keep + time.Second)
						g.sweep()
					default:
						id := g.upload("carol", "image/png", "", picture)
						g.get("carol", download(id)).is(200, "")
					}
				}
			})
		}
		all.Wait()
		g.place.clock.pass(keep + time.Second)
		g.sweep()
		require.Equal(t, 8, g.count("media"), "what carol uploaded")
		require.Equal(t, 1, g.count("content"))
		var uses int
		require.NoError(t, g.db.QueryRow(t.Context(), `SELECT uses FROM content`).Scan(&uses))
		require.Equal(t, 8, uses)
		require.Equal(t, 1+g.count("thumbnail"), g.blobs())
		require.Zero(t, uploadedBy(g, "bob"))
		require.Equal(t, int64(8*len(picture)), uploadedBy(g, "carol"))
	})
}
