package media_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"

	"hongyan/service/media"
)

const (
	previewPath       = "/_matrix/client/v1/media/preview_url"
	legacyPreviewPath = "/_matrix/media/v3/preview_url"
)

// TestPreview makes a preview of a page with a picture, which is media of this server from then on.
func TestPreview(t *testing.T) {
	onBothSites(t, nil, func(t *testing.T, g *rig, s *site) {
		picture := asPNG(t, halves(64, 48))
		s.says("/goose.png", "application/octet-stream", picture)
		s.html("/page", `<title>x</title><meta property="og:title" content="The goose"><meta property="og:image" content="/goose.png">
			<meta property="og:image:width" content="9999"><meta name="description" content="carries letters">`)
		a := g.do(request{
			method: http.MethodGet, path: previewOf(s.url("/page")), caller: as("alice"), header: map[string]string{"Accept-Language": "de-AT, en;q=0.5"},
		})
		id := a.image()
		want := map[string]any{
			"og:title": "The goose", "og:description": "carries letters", "og:image": "mxc://hs/" + id, "og:image:type": "image/png",
			"og:image:width": 64., "og:image:height": 48., "matrix:image:size": float64(len(picture)),
		}
		require.Equal(t, want, a.props())
		for _, path := range []string{"/page", "/goose.png"} {
			asked := s.last(path)
			require.Equal(t, "de-AT, en;q=0.5", asked.Header.Get("Accept-Language"))
			require.Contains(t, asked.UserAgent(), "HongyanPreviewBot")
			require.Contains(t, asked.UserAgent(), "hs")
			require.Empty(t, asked.Header.Get("Authorization"))
			require.Empty(t, asked.Header.Get("Referer"))
		}
		got := g.get("bob", download(id)).is(200, "")
		require.True(t, got.body == string(picture))
		require.Equal(t, "image/png", got.header.Get("Content-Type"))
		g.get("bob", thumbnail(id, 32, 32, "&method=crop")).is(200, "")

		// Everybody who reads the same language shares it, whichever route and spelling they use.
		for _, path := range []string{previewOf(s.url("/page#part")), legacyPreviewPath + "?url=" + url.QueryEscape(s.url("/page"))} {
			again := g.do(request{method: http.MethodGet, path: path, caller: as("bob"), header: map[string]string{"Accept-Language": "de-AT"}})
			require.Equal(t, want, again.props())
		}
		require.Equal(t, 1, s.hits("/page"))
		require.NotEqual(t, id, g.preview("bob", s.url("/page")).image())
		require.Equal(t, 2, s.hits("/page"), "another language is another page")
		g.sweep()
		require.Equal(t, 2, g.blobs(), "a picture once, and its thumbnail")

		require.Equal(t, map[string]any{}, func() map[string]any { s.html("/empty", ""); return g.preview("alice", s.url("/empty")).props() }())
		require.Zero(t, uploadedBy(g, "alice"), "it counts for nobody")
	})
}

// uploadedBy is how much counts for a user.
func uploadedBy(g *rig, user string) (bytes int64) {
	g.t.Helper()
	require.NoError(g.t, g.db.QueryRow(g.t.Context(), `SELECT CAST(COALESCE(sum(bytes), 0) AS BIGINT) FROM uploader WHERE user_id = $1`,
		as(user).UserID).Scan(&bytes))
	return bytes
}

// TestPreviewsAreOff says so by default, and asks nobody.
func TestPreviewsAreOff(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		s := newSite(t)
		s.html("/", "<title>x</title>")
		g.preview("alice", s.url("/")).is(404, "M_NOT_FOUND")
		g.get("alice", legacyPreviewPath+"?url=x").is(404, "M_NOT_FOUND")
		require.Zero(t, s.hits("/"))
	})
}

// TestPreviewRefusals refuses what can be seen not to be asked, before anybody is.
func TestPreviewRefusals(t *testing.T) {
	g := newRig(t, newPlace(t, databases["sqlite"](t)), previews(func(c *media.PreviewsConfig) {
		c.Deny, c.Ports = []string{"*.denied.example", "partly.example/private/*"}, []string{"80", "443"}
	}))
	for address, want := range map[string]struct {
		status int
		code   string
	}{
		"":                                  {400, "M_MISSING_PARAM"},
		"not a url":                         {400, "M_INVALID_PARAM"},
		"/path":                             {400, "M_INVALID_PARAM"},
		"//host/path":                       {400, "M_INVALID_PARAM"},
		"ftp://site.example/":               {400, "M_INVALID_PARAM"},
		"file:///etc/passwd":                {400, "M_INVALID_PARAM"},
		"javascript:alert(1)":               {400, "M_INVALID_PARAM"},
		"http://user:password@site.example": {400, "M_INVALID_PARAM"},
		"http://site.example:99999/":        {403, "M_FORBIDDEN"},
		"http://site.example:22/":           {403, "M_FORBIDDEN"},
		"http://10.0.0.1/":                  {403, "M_FORBIDDEN"},
		"http://127.0.0.2/":                 {403, "M_FORBIDDEN"},
		"http://169.254.169.254/latest":     {403, "M_FORBIDDEN"},
		"http://[::1]/":                     {403, "M_FORBIDDEN"},
		"http://[::ffff:10.0.0.1]/":         {403, "M_FORBIDDEN"},
		"http://[64:ff9b::a00:1]/":          {403, "M_FORBIDDEN"},
		"https://a.denied.example/":         {403, "M_FORBIDDEN"},
		"https://partly.example/private/x":  {403, "M_FORBIDDEN"},
		"http://site.example/" + strings.Repeat("x", 5000): {400, "M_INVALID_PARAM"},
	} {
		g.preview("alice", address).is(want.status, want.code)
	}
	g.get("alice", previewPath+"?url=%ff").is(400, "M_INVALID_PARAM")
	g.get("alice", previewOf("http://site.example")+"&ts=-1").is(400, "M_INVALID_PARAM")
	g.get("alice", previewOf("http://site.example")+"&ts=soon").is(400, "M_INVALID_PARAM")
	require.Zero(t, g.count("preview"))
}

// TestPreviewFailures answers 502 for what other sites do, remembers it for a while, and then asks again.
func TestPreviewFailures(t *testing.T) {
	onBothSites(t, nil, func(t *testing.T, g *rig, s *site) {
		s.has("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
		s.has("/gone", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		for path, says := range map[string]string{"/missing": "status 404", "/broken": "status 500", "/gone": "cannot be reached"} {
			for range 2 {
				a := g.preview("alice", s.url(path)).is(502, "M_UNKNOWN")
				require.Contains(t, a.get("error").Str, says)
			}
			require.Equal(t, 1, s.hits(path), path)
		}
		g.preview("alice", "http://"+siteHost+":1/").is(502, "M_UNKNOWN")

		s.html("/missing", "<title>found</title>")
		g.preview("alice", s.url("/missing")).is(502, "M_UNKNOWN")
		g.place.clock.pass(media.FailedFor)
		require.Equal(t, "found", g.preview("alice", s.url("/missing")).is(200, "").get("og:title").Str)
		g.place.clock.pass(time.Millisecond)
		g.sweep()
		require.Equal(t, 1, g.count("preview"), "failures are forgotten")
	})
}

// TestPreviewCharsets reads pages of other alphabets.
func TestPreviewCharsets(t *testing.T) {
	onBothSites(t, nil, func(t *testing.T, g *rig, s *site) {
		gbk, err := simplifiedchinese.GBK.NewEncoder().String(`<meta charset="gbk"><title>鸿雁传书</title>`)
		require.NoError(t, err)
		s.says("/gbk", "text/html", []byte(gbk))
		sjis, err := japanese.ShiftJIS.NewEncoder().String(`<title>雁の便り</title>`)
		require.NoError(t, err)
		s.says("/sjis", "text/html; charset=Shift_JIS", []byte(sjis))
		s.says("/wrong", "text/html; charset=utf-8", []byte(gbk))
		s.says("/unknown", "text/html; charset=nonsense", []byte("<title>x\x00y</title>"))
		require.Equal(t, "鸿雁传书", g.preview("alice", s.url("/gbk")).is(200, "").get("og:title").Str)
		require.Equal(t, "雁の便り", g.preview("alice", s.url("/sjis")).is(200, "").get("og:title").Str)
		g.preview("alice", s.url("/wrong")).is(200, "")
		g.preview("alice", s.url("/unknown")).is(200, "")
	})
}

// TestPreviewFiles makes previews of what is no page.
func TestPreviewFiles(t *testing.T) {
	g := newRig(t, newPlace(t, databases["sqlite"](t)), previews(nil))
	s := newSite(t)
	picture := asJPEG(t, halves(30, 20))
	s.says("/a/sm%C3%B6rg%C3%A5s.jpg", "image/jpeg", picture)
	s.says("/a/smörgås.jpg", "image/jpeg", picture)
	s.has("/film.mp4", func(w http.ResponseWriter, _ *http.Request) { // larger than what is read of anything
		w.Header().Set("Content-Type", "video/mp4; codecs=x")
		w.Header().Set("Content-Length", "1000000000000")
		_, _ = w.Write([]byte("x"))
	})
	s.says("/song.ogg", "audio/ogg", []byte("x"))
	s.says("/paper.pdf", "application/pdf", []byte("%PDF"))
	s.says("/drawing.svg", "image/svg+xml", []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`))
	s.says("/page.png", "image/png", []byte("<html><title>not a picture</title>"))
	s.says("/cut.png", "image/png", asPNG(t, halves(64, 48))[:20])
	s.has("/untyped", func(w http.ResponseWriter, _ *http.Request) { w.Header()["Content-Type"] = nil })

	a := g.preview("alice", s.url("/a/sm%C3%B6rg%C3%A5s.jpg"))
	require.Equal(t, map[string]any{
		"og:title": "smörgås.jpg", "og:image": "mxc://hs/" + a.image(), "og:image:type": "image/jpeg", "og:image:width": 30.,
		"og:image:height": 20., "matrix:image:size": float64(len(picture)),
	}, a.props())
	require.Equal(t, map[string]any{
		"og:title": "film.mp4", "og:type": "video.other", "og:video": s.url("/film.mp4"), "og:video:type": "video/mp4",
	}, g.preview("alice", s.url("/film.mp4")).props())
	require.Equal(t, map[string]any{
		"og:title": "song.ogg", "og:type": "music.song", "og:audio": s.url("/song.ogg"), "og:audio:type": "audio/ogg",
	}, g.preview("alice", s.url("/song.ogg")).props())
	for _, path := range []string{"/paper.pdf", "/drawing.svg", "/page.png", "/cut.png", "/untyped"} {
		require.Equal(t, map[string]any{}, g.preview("alice", s.url(path)).props(), path)
	}
	g.sweep()
	require.Equal(t, 1, g.blobs(), "what is no picture is not kept")
}

// TestPreviewOEmbed asks where a page says that more is known, as it asks everything.
func TestPreviewOEmbed(t *testing.T) {
	g := newRig(t, newPlace(t, databases["sqlite"](t)), previews(nil))
	s := newSite(t)
	link := func(to string) string {
		return `<title>seen</title><link rel="alternate" type="application/json+oembed" href="` + to + `">`
	}
	s.says("/photo.png", "image/png", asPNG(t, halves(20, 10)))
	s.says("/oembed", "application/json", []byte(`{"type":"photo","url":"/photo.png","title":"Photo","provider_name":"Site"}`))
	s.html("/page", link("/oembed"))
	a := g.preview("alice", s.url("/page"))
	require.Equal(t, "Photo", a.get("og:title").Str)
	require.Equal(t, "Site", a.get("og:site_name").Str)
	require.EqualValues(t, 20, a.get("og:image:width").Int())

	s.says("/endless", "application/json", []byte(`{"title":"`+strings.Repeat("x", 1<<20)+`"}`))
	for path, to := range map[string]string{
		"/within": s.at("127.0.0.2", "/oembed"), "/away": "/missing", "/much": "/endless", "/other": "file:///etc/passwd",
	} {
		s.html(path, link(to))
		require.Equal(t, map[string]any{"og:title": "seen"}, g.preview("alice", s.url(path)).props(), path)
	}
	require.Equal(t, 1, s.hits("/oembed"))
}
