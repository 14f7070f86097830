package media_test

import (
	"mime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"hongyan/service/media"
)

// TestDownloadHeaders has the headers that keep content harmless, and parts of content.
func TestDownloadHeaders(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.upload("alice", "text/plain; charset=utf-8", "名 \"1\".txt", []byte("0123456789"))
		a := g.get("bob", download(id)).is(200, "")
		for name, value := range map[string]string{
			"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "cross-origin",
			"Content-Disposition":     `inline; filename*=utf-8''%E5%90%8D%20%221%22.txt`,
			"Content-Security-Policy": "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self';",
			"Cache-Control":           "private, max-age=86400, immutable", "Content-Length": "10", "Accept-Ranges": "bytes",
		} {
			require.Equal(t, value, a.header.Get(name), name)
		}
		named := g.get("bob", download(id)+"/other%0d%0aX-Evil%3a%201").is(200, "")
		require.Equal(t, "inline; filename*=utf-8''other%0D%0AX-Evil%3A%201", named.header.Get("Content-Disposition"))
		require.Empty(t, named.header.Get("X-Evil"))

		with := func(method, name, value string) answer {
			return g.do(request{method: method, path: download(id), caller: as("bob"), header: map[string]string{name: value}})
		}
		part := with("GET", "Range", "bytes=2-4").is(206, "")
		require.Equal(t, "234", part.body)
		require.Equal(t, "bytes 2-4/10", part.header.Get("Content-Range"))
		require.Equal(t, "789", with("GET", "Range", "bytes=-3").is(206, "").body)
		require.Equal(t, "34", with("GET", "Range", "Bytes=3-4").is(206, "").body)
		none := with("GET", "Range", "bytes=20-").is(416, "M_INVALID_PARAM")
		require.Equal(t, "bytes */10", none.header.Get("Content-Range"))
		require.Equal(t, "application/json", none.header.Get("Content-Type"))
		require.Empty(t, none.header.Get("Content-Disposition")+none.header.Get("Cache-Control"))
		for _, unknown := range []string{"lines=1-2", "bytes", ""} {
			require.Equal(t, "0123456789", with("GET", "Range", unknown).is(200, "").body, unknown)
		}
		require.Equal(t, 304, with("GET", "If-None-Match", a.header.Get("ETag")).status)
		head := with("HEAD", "X", "").is(200, "")
		require.Empty(t, head.body)
		require.Equal(t, "10", head.header.Get("Content-Length"))
	})
}

// TestDownloadErrors has each error that downloads can have.
func TestDownloadErrors(t *testing.T) {
	onBoth(t, func(_ *testing.T, g *rig) {
		id := g.upload("alice", "text/plain", "", []byte("x"))
		for path, want := range map[string]struct {
			status int
			code   string
		}{
			download("nothing"):                             {404, "M_NOT_FOUND"},
			download("a%2F..%2Fb"):                          {404, "M_NOT_FOUND"},
			download(strings.Repeat("a", 300)):              {404, "M_NOT_FOUND"},
			"/_matrix/client/v1/media/download/other/" + id: {404, "M_NOT_FOUND"},
			download(id) + "?timeout_ms=soon":               {400, "M_INVALID_PARAM"},
			download(id) + "/" + strings.Repeat("n", 1025):  {400, "M_INVALID_PARAM"},
			"/_matrix/media/v3/download/hs/" + id:           {404, "M_NOT_FOUND"},
			"/_matrix/media/v3/download/hs/" + id + "/name": {404, "M_NOT_FOUND"},
			"/_matrix/media/v3/thumbnail/hs/" + id:          {404, "M_NOT_FOUND"},
		} {
			g.get("bob", path).is(want.status, want.code)
		}
	})
	legacy := newRig(t, newPlace(t, databases["sqlite"](t)), func(c *media.Config) { c.LegacyDownloads = true })
	id := legacy.upload("alice", "text/plain", "", []byte("x"))
	a := legacy.get("", "/_matrix/media/v3/download/hs/"+id+"/name").is(200, "")
	require.Equal(t, "public, max-age=86400, immutable", a.header.Get("Cache-Control"))
}

func TestWhatBrowsersMayShow(t *testing.T) {
	for contentType, how := range map[string]string{
		"image/png": "inline", "IMAGE/PNG": "inline", "text/plain; charset=utf-8": "inline", "audio/x-flac": "inline",
		"text/html": "attachment", "image/svg+xml": "attachment", "": "attachment", "image/png, text/html": "attachment",
		"image/png; a=\"b, text/html\"": "attachment", "application/pdf": "attachment", "image/png; =": "attachment",
	} {
		require.Equal(t, how, media.Disposition(contentType, ""), contentType)
	}
}

// FuzzDisposition holds the header to one line, and to the name that it was given.
func FuzzDisposition(f *testing.F) {
	for _, name := range []string{"a.txt", "a b", "\"\\", "é.png", "a\r\nX: y", "\t", "%", "'", ";", "\x7f"} {
		f.Add("image/png", name)
		f.Add(name, name)
	}
	f.Fuzz(func(t *testing.T, contentType, name string) {
		if !utf8.ValidString(name) {
			return
		}
		header := media.Disposition(contentType, name)
		for _, c := range []byte(header) {
			require.True(t, c == '\t' || c >= ' ' && c <= '~', "%q", header)
		}
		how, params, err := mime.ParseMediaType(header)
		require.NoError(t, err, "%q", header)
		require.Contains(t, []string{"inline", "attachment"}, how)
		require.Equal(t, name, params["filename"])
	})
}
