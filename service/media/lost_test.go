package media_test

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"

	"hongyan/platform/blob"
	"hongyan/platform/blob/s3"
)

// objectStore is a bucket of an object store.
func objectStore(t *testing.T) blob.Store {
	t.Helper()
	backend := s3mem.New()
	require.NoError(t, backend.CreateBucket("media"))
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	s, err := s3.New(s3.Config{
		Endpoint: server.URL, Bucket: "media", Region: "us-east-1", AccessKey: "access", SecretKey: "secret", PathStyle: true,
	}, nil)
	require.NoError(t, err)
	return s
}

// TestLostContent removes blobs under media, as a restore without them does: that is 404, and no error of the server's.
func TestLostContent(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *place){
		"folder":          func(*testing.T, *place) {},
		"object store":    func(t *testing.T, p *place) { p.blobs = objectStore(t) },
		"lost while read": func(_ *testing.T, p *place) { p.blobs = &losing{Store: p.blobs} },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, databases["sqlite"](t))
			change(t, p)
			g := newRig(t, p, nil)
			text := g.upload("alice", "text/plain", "", []byte("content"))
			picture := g.upload("alice", "image/png", "", asPNG(t, halves(900, 500)))
			g.get("bob", download(text)).is(200, "")
			g.get("bob", thumbnail(picture, 96, 96, "&method=crop")).is(200, "")

			g.loseBlobs()
			g.get("bob", thumbnail(picture, 32, 32, "&method=crop")).is(404, "M_NOT_FOUND")
			if name == "lost while read" {
				return // a download has begun by then
			}
			g.get("bob", thumbnail(picture, 96, 96, "&method=crop")).is(404, "M_NOT_FOUND")
			g.get("bob", download(picture)).is(404, "M_NOT_FOUND")
			a := g.get("bob", download(text)).is(404, "M_NOT_FOUND")
			require.Equal(t, "application/json", a.header.Get("Content-Type"))
			require.Empty(t, a.header.Get("Content-Disposition"))
		})
	}
}

// loseBlobs removes all that is in the blob store behind the database's back.
func (g *rig) loseBlobs() {
	g.t.Helper()
	rows, err := g.db.Query(context.Background(), `SELECT blob_key FROM content UNION SELECT thumbnail_key FROM thumbnail`)
	require.NoError(g.t, err)
	var keys []string
	for rows.Next() {
		var key string
		require.NoError(g.t, rows.Scan(&key))
		keys = append(keys, key)
	}
	require.NoError(g.t, rows.Err())
	rows.Close()
	for _, key := range keys {
		require.NoError(g.t, g.place.blobs.Delete(context.Background(), key))
	}
}

// losing is a store whose blobs can be opened, and are deleted before they are read.
type losing struct {
	blob.Store
	lost bool
}

func (l *losing) Delete(context.Context, string) error {
	l.lost = true
	return nil
}

func (l *losing) Open(ctx context.Context, key string) (io.ReadSeekCloser, error) {
	r, err := l.Store.Open(ctx, key)
	if err == nil && l.lost {
		return lostBlob{r}, nil
	}
	return r, err
}

type lostBlob struct{ io.ReadSeekCloser }

func (lostBlob) Read([]byte) (int, error) { return 0, fmt.Errorf("read blob: %w", blob.ErrNotFound) }
