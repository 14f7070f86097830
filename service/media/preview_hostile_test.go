package media_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/media"
)

// endless writes until the reader has enough.
func endless(w io.Writer, text string) {
	for {
		if _, err := io.WriteString(w, text); err != nil {
			return
		}
	}
}

// zipped is text, and then so many zeroes, compressed.
func zipped(t *testing.T, text string, zeroes int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
	_, err = w.Write(make([]byte, zeroes))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// hugePNG says that it is a picture of so many pixels a side, and has none of them.
func hugePNG(side uint32) []byte {
	head := []byte("IHDR\x00\x00\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00")
	binary.BigEndian.PutUint32(head[4:], side)
	binary.BigEndian.PutUint32(head[8:], side)
	out := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), head...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(head))
}

// metas are properties of so many names, each of a long text.
func metas(n int, text string) string {
	var b strings.Builder
	for i := range n {
		_, _ = fmt.Fprintf(&b, `<meta property="og:x%d" content="%s">`, i, strings.Repeat(text, 1000))
	}
	return b.String()
}

// TestHostilePages has sites that want to harm: nothing is reached that may not be, nothing grows, and the answer is a 200 or a 502.
func TestHostilePages(t *testing.T) {
	onBothSites(t, func(c *media.PreviewsConfig) { c.MaxPageBytes, c.MaxImageBytes = 512<<10, 64<<10 }, func(t *testing.T, g *rig, s *site) {
		redirect := func(to string) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
		}
		html := func(body func(w io.Writer)) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				body(w)
			}
		}
		text := func(body string) http.HandlerFunc { return html(func(w io.Writer) { _, _ = io.WriteString(w, body) }) }
		const title = "<title>T</title>"
		s.html("/secret", "<title>secret</title>")
		for name, tt := range map[string]struct {
			page http.HandlerFunc
			// want is the title, empty for a failure.
			want string
		}{
			"endless": {html(func(w io.Writer) { _, _ = io.WriteString(w, title); endless(w, "<p>more</p>") }), "T"},
			"bomb": {func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = w.Write(zipped(t, title, 20<<20))
			}, "T"},
			"not compressed": {func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = io.WriteString(w, title)
			}, ""},
			"headers": {func(w http.ResponseWriter, _ *http.Request) {
				for i := range 200 {
					w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 1000))
				}
			}, ""},
			"loop":       {redirect("/loop"), ""},
			"mapped":     {redirect(s.at("::ffff:127.0.0.2", "/secret")), ""},
			"loopback":   {redirect(s.at("127.0.0.2", "/secret")), ""},
			"v6":         {redirect(s.at("::1", "/secret")), ""},
			"any":        {redirect(s.at("0.0.0.0", "/secret")), ""},
			"cloud":      {redirect("http://169.254.169.254/latest/meta-data/"), ""},
			"file":       {redirect("file:///etc/passwd"), ""},
			"user":       {redirect("http://u:p@" + siteHost + ":" + s.port + "/secret"), ""},
			"deep":       {text(strings.Repeat("<b>", 10000) + title), "T"},
			"attributes": {text("<meta " + strings.Repeat("a=b ", 10000) + ">" + title), "T"},
			"metas":      {text(title + metas(50, "y")), "T"},
			"brackets":   {text(metas(50, "<") + title + metas(50, "\u2028&<\x7f")), "T"},
			"astral":     {text(title + metas(50, "𝄞")), "T"},
			"unclosed":   {text(title + `<meta property="`), "T"},
			"zeroes":     {text(title + "\x00\x00\x00<p>\x00"), "T"},
			"bomb as a picture": {func(w http.ResponseWriter, r *http.Request) {
				s.says("/huge.png", "image/png", hugePNG(60000))
				text(title+`<meta property="og:image" content="/huge.png">`)(w, r)
			}, "T"},
			"endless picture": {func(w http.ResponseWriter, r *http.Request) {
				s.has("/endless.png", func(w http.ResponseWriter, _ *http.Request) {
					_, _ = w.Write(asPNG(t, halves(10, 10)))
					endless(w, "more")
				})
				text(title+`<meta property="og:image" content="/endless.png">`)(w, r)
			}, "T"},
			"posing pictures": {func(w http.ResponseWriter, r *http.Request) {
				s.says("/svg.png", "image/png", []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`))
				s.says("/html.png", "image/png", []byte("<html><script>alert(1)</script>"))
				text(title+`<meta property="og:image" content="/svg.png"><meta property="og:image" content="/html.png">`)(w, r)
			}, "T"},
			"cut pictures": {func(w http.ResponseWriter, r *http.Request) {
				picture := asPNG(t, halves(200, 200))
				s.says("/cut.png", "image/png", picture[:len(picture)/2])
				picture = asJPEG(t, halves(200, 200))
				s.says("/cut.jpg", "image/jpeg", picture[:len(picture)/2])
				text(title+`<meta property="og:image" content="/cut.png"><meta property="og:image" content="/cut.jpg">`)(w, r)
			}, "T"},
			"pictures within": {text(title + `<meta property="og:image" content="` + s.at("127.0.0.2", "/secret") + `">`), "T"},
			"redirected picture": {func(w http.ResponseWriter, r *http.Request) {
				s.has("/there.png", redirect(s.at("::1", "/secret")))
				text(title+`<meta property="og:image" content="/there.png">`)(w, r)
			}, "T"},
		} {
			path := "/" + strings.ReplaceAll(name, " ", "-")
			s.has(path, tt.page)
			a := g.preview("alice", s.url(path))
			if tt.want == "" {
				require.Equal(t, "M_UNKNOWN", a.is(502, "M_UNKNOWN").get("errcode").Str, name)
				require.NotContains(t, a.body, "127.0.0", name)
				continue
			}
			require.Equal(t, tt.want, a.is(200, "").get("og:title").Str, name)
			require.False(t, a.get("og:image").Exists(), name)
			require.LessOrEqual(t, len(a.body), 16<<10, name)
		}
		require.Zero(t, s.hits("/secret"))
		g.sweep()
		require.Zero(t, g.blobs())
		require.Zero(t, g.count("content"))
	})
}

// TestDrip has a site that gives a byte now and then, for ever, as a page and as a picture.
func TestDrip(t *testing.T) {
	onBothSites(t, func(c *media.PreviewsConfig) { c.Timeout, c.TotalTimeout = 300*time.Millisecond, 2*time.Second }, func(t *testing.T, g *rig, s *site) {
		drip := func(start []byte) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				_, _ = w.Write(start)
				tick := time.NewTicker(5 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-tick.C:
						_, _ = io.WriteString(w, "x")
						_ = http.NewResponseController(w).Flush() // it is over when the reader says so
					case <-r.Context().Done():
						return
					}
				}
			}
		}
		s.has("/page", drip(nil))
		require.Contains(t, g.preview("alice", s.url("/page")).is(502, "M_UNKNOWN").get("error").Str, "too long")
		s.has("/slow.png", drip(asPNG(t, halves(10, 10))))
		s.html("/picture", `<title>T</title><meta property="og:image" content="/slow.png">`)
		require.Equal(t, map[string]any{"og:title": "T"}, g.preview("alice", s.url("/picture")).props())
		g.sweep()
		require.Zero(t, g.blobs())
	})
}
