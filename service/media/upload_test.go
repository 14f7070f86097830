package media_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/service/media"
)

const (
	uploadPath = "/_matrix/media/v3/upload"
	createPath = "/_matrix/media/v1/create"
)

// TestWhatIsUploadedComesBack uploads content of several sizes and downloads it, by another user.
func TestWhatIsUploadedComesBack(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		for _, size := range []int{0, 1, 300_000, 3 << 20} {
			content := make([]byte, size)
			_, err := rand.Read(content)
			require.NoError(t, err)
			id := g.upload("alice", "application/x-thing; charset=\"x\"", "a thing.bin", content)
			require.Len(t, id, 32)
			a := g.get("bob", download(id)).is(200, "")
			require.True(t, a.body == string(content))
			require.Equal(t, "application/x-thing; charset=\"x\"", a.header.Get("Content-Type"))
			require.Equal(t, `attachment; filename="a thing.bin"`, a.header.Get("Content-Disposition"))
		}
		id := g.upload("alice", "", "", []byte("plain"))
		a := g.get("alice", download(id)).is(200, "")
		require.Equal(t, "application/octet-stream", a.header.Get("Content-Type"))
		require.Equal(t, "attachment", a.header.Get("Content-Disposition"))
		limit := g.get("alice", "/_matrix/client/v1/media/config").is(200, "")
		require.JSONEq(t, `{"m.upload.size":52428800}`, limit.body)
		require.JSONEq(t, limit.body, g.get("alice", "/_matrix/media/v3/config").is(200, "").body)
	})
}

// TestContentIsKeptOnce uploads the same content several times.
func TestContentIsKeptOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		first := g.upload("alice", "text/plain", "one", []byte("the same"))
		second := g.upload("bob", "text/html", "two", []byte("the same"))
		other := g.upload("bob", "text/plain", "", []byte("another"))
		require.NotEqual(t, first, second)
		g.sweep()
		require.Equal(t, 2, g.blobs())
		require.Equal(t, "text/html", g.get("x", download(second)).is(200, "").header.Get("Content-Type"))

		for id, content := range map[string]string{first: "the same", second: "the same", other: "another"} {
			require.Equal(t, content, g.get("x", download(id)).is(200, "").body)
		}
	})
}

// TestUploadErrors has each error that uploads can have.
func TestUploadErrors(t *testing.T) {
	small := func(c *media.Config) { c.MaxUploadBytes = 1000 }
	onBothWith(t, small, func(t *testing.T, g *rig) {
		mine := g.create("alice")
		full := g.create("alice")
		g.put("alice", full, []byte("content")).is(200, "")
		guest, suspended := as("alice"), as("alice")
		guest.Guest, suspended.Suspended = true, true
		large := strings.Repeat("x", 1001)
		for name, q := range map[string]struct {
			request
			status int
			code   string
		}{
			"nobody":                  {request{method: "POST", path: uploadPath}, 401, "M_MISSING_TOKEN"},
			"a guest":                 {request{method: "POST", path: uploadPath, caller: guest}, 403, "M_GUEST_ACCESS_FORBIDDEN"},
			"suspended":               {request{method: "POST", path: uploadPath, caller: suspended}, 403, "M_USER_SUSPENDED"},
			"creates as a guest":      {request{method: "POST", path: createPath, caller: guest}, 403, "M_GUEST_ACCESS_FORBIDDEN"},
			"creates while suspended": {request{method: "POST", path: createPath, caller: suspended}, 403, "M_USER_SUSPENDED"},
			"too large":               {request{method: "POST", path: uploadPath, caller: as("alice"), body: strings.NewReader(large)}, 413, "M_TOO_LARGE"},
			"too large, not told": {request{method: "POST", path: uploadPath, caller: as("alice"),
				body: io.MultiReader(strings.NewReader(large)), length: -1}, 413, "M_TOO_LARGE"},
			"too large for an id": {request{method: "PUT", path: uploadPath + "/hs/" + mine, caller: as("alice"),
				body: strings.NewReader(large)}, 413, "M_TOO_LARGE"},
			"a long file name": {request{method: "POST", path: uploadPath + "?filename=" + strings.Repeat("n", 1025),
				caller: as("alice")}, 400, "M_INVALID_PARAM"},
			"a file name that is no text": {request{method: "POST", path: uploadPath + "?filename=%ff", caller: as("alice")}, 400, "M_INVALID_PARAM"},
			"somebody else's id":          {request{method: "PUT", path: uploadPath + "/hs/" + mine, caller: as("bob")}, 403, "M_FORBIDDEN"},
			"an id with content":          {request{method: "PUT", path: uploadPath + "/hs/" + full, caller: as("alice")}, 409, "M_CANNOT_OVERWRITE_MEDIA"},
			"an id that nobody made":      {request{method: "PUT", path: uploadPath + "/hs/nothing", caller: as("alice")}, 404, "M_NOT_FOUND"},
			"an id that is none":          {request{method: "PUT", path: uploadPath + "/hs/a%2F..", caller: as("alice")}, 404, "M_NOT_FOUND"},
			"another server's":            {request{method: "PUT", path: uploadPath + "/other/" + mine, caller: as("alice")}, 404, "M_NOT_FOUND"},
			"another method":              {request{method: "GET", path: uploadPath, caller: as("alice")}, 405, "M_UNRECOGNIZED"},
		} {
			t.Run(name, func(t *testing.T) { g.at(t).do(q.request).is(q.status, q.code) })
		}
		g.put("alice", mine, []byte(large[:1000])).is(200, "")
		require.Equal(t, "content", g.get("x", download(full)).is(200, "").body, "what was there stays")
		g.sweep()
		require.Equal(t, 2, g.blobs(), "nothing is left of what was refused")
	})
}

// TestBrokenUploadsLeaveNothing cuts uploads off, with a length and without, and crashes before the end.
func TestBrokenUploadsLeaveNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		for _, length := range []int64{1 << 20, -1} {
			ctx, cancel := context.WithCancel(t.Context())
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+uploadPath,
				io.MultiReader(bytes.NewReader(make([]byte, 300_000)), gone{cancel}))
			require.NoError(t, err)
			r.ContentLength = length
			httpx.SetCaller(r.Header, as("alice"))
			_, err = http.DefaultClient.Do(r) //nolint:bodyclose // there is none
			require.Error(t, err)
		}
		require.Eventually(t, func() bool { g.sweep(); return g.blobs() == 0 }, patience, 10*time.Millisecond)
	})
}

// gone is a client that goes away in the middle of what it sends.
type gone struct{ cancel context.CancelFunc }

func (g gone) Read([]byte) (int, error) {
	g.cancel()
	return 0, errors.New("gone")
}

// TestACrashLeavesNothing has blobs without an upload removed when it must have ended, and no earlier.
func TestACrashLeavesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.upload("alice", "text/plain", "", []byte("stays"))
		require.NoError(t, media.BeginBlob(t.Context(), g.service, "crashed"))
		g.sweep()
		require.Equal(t, 2, g.blobs())
		g.place.clock.pass(media.Default().UploadTimeout + 2*time.Hour)
		g.sweep()
		require.Equal(t, 1, g.blobs())
	})
}

// TestQuotas bounds what a user keeps and what a user uploads on a day.
func TestQuotas(t *testing.T) {
	bounded := func(c *media.Config) { c.UserBytes, c.UserDayBytes = 250, 100 }
	onBothWith(t, bounded, func(t *testing.T, g *rig) {
		// Whole days pass, from the middle of one.
		g.place.clock.pass(time.Until(time.Now().UTC().Truncate(24 * time.Hour).Add(36 * time.Hour)))
		piece := func(n int, b string) []byte { return []byte(strings.Repeat(b, n)) }
		g.upload("alice", "", "", piece(60, "a"))
		a := g.tryUpload("alice", "", "", piece(41, "b")).is(429, "M_LIMIT_EXCEEDED")
		require.InDelta(t, 12*time.Hour.Milliseconds(), a.get("retry_after_ms").Int(), float64(time.Hour.Milliseconds()))
		unknown := request{method: "POST", path: uploadPath, caller: as("alice"), body: io.MultiReader(bytes.NewReader(piece(41, "b"))), length: -1}
		g.do(unknown).is(429, "M_LIMIT_EXCEEDED")
		g.upload("alice", "", "", piece(40, "a"))
		g.upload("bob", "", "", piece(100, "a"))
		g.place.clock.pass(24 * time.Hour)
		g.upload("alice", "", "", piece(100, "c"))
		g.place.clock.pass(24 * time.Hour)
		g.tryUpload("alice", "", "", piece(51, "d")).is(403, "M_FORBIDDEN")
		id := g.create("alice")
		g.put("alice", id, piece(51, "d")).is(403, "M_FORBIDDEN")
		g.put("alice", id, piece(50, "d")).is(200, "")
		g.sweep()
		require.Equal(t, 5, g.blobs())
	})
}

// TestUploadsAtOnce bounds how many uploads of a user there are at once.
func TestUploadsAtOnce(t *testing.T) {
	g := newRig(t, newPlace(t, databases["sqlite"](t)), func(c *media.Config) { c.UserUploads, c.Uploads = 1, 2 })
	begin := func(user string) (end func() answer) {
		r, w := io.Pipe()
		done := make(chan answer, 1)
		go func() { done <- g.do(request{method: "POST", path: uploadPath, caller: as(user), body: r}) }()
		_, err := w.Write([]byte("x")) // it is read
		require.NoError(t, err)
		return func() answer {
			require.NoError(t, w.Close())
			return <-done
		}
	}
	alice := begin("alice")
	require.Eventually(t, func() bool { return media.UploadsAtOnce(g.service) == 1 }, patience, time.Millisecond)
	g.tryUpload("alice", "", "", nil).is(429, "M_LIMIT_EXCEEDED")
	bob := begin("bob")
	require.Eventually(t, func() bool { return media.UploadsAtOnce(g.service) == 2 }, patience, time.Millisecond)
	g.tryUpload("carol", "", "", nil).is(503, "M_UNKNOWN")
	alice().is(200, "")
	g.upload("alice", "", "", nil)
	bob().is(200, "")
}
