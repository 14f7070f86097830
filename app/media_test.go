package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/png"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMedia uploads, waits for an upload and downloads: with everything in one process, and in several, of which two keep media.
func TestMedia(t *testing.T) {
	t.Run("one process", func(t *testing.T) { mediaThrough(t, start(t, t.TempDir(), nil)) })
	t.Run("several processes", func(t *testing.T) {
		d := newDeployment(t, "")
		for range 2 {
			d.start("media")
		}
		d.start("identity,room,keys,sync,social")
		mediaThrough(t, d.start("gateway"))
	})
}

// answered is an answer without its content.
type answered struct {
	status int
	header http.Header
}

func mediaThrough(t *testing.T, s *server) {
	alice, bob := s.register("alice"), s.register("bob")
	do := func(method, path, token string, body io.Reader) (answered, []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
		require.NoError(t, err)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		r.Header.Set("Content-Type", "image/png")
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		content, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return answered{resp.StatusCode, resp.Header}, content
	}
	uri := func(raw []byte) string {
		var answer struct {
			URI string `json:"content_uri"`
		}
		require.NoError(t, json.Unmarshal(raw, &answer))
		return strings.TrimPrefix(answer.URI, "mxc://")
	}
	const client = "/_matrix/client/v1/media"
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<19)
	resp, raw := do("POST", "/_matrix/media/v3/upload", alice, io.MultiReader(bytes.NewReader(large))) // of unknown length
	require.Equal(t, 200, resp.status, string(raw))
	resp, got := do("GET", client+"/download/"+uri(raw), bob, nil)
	require.Equal(t, 200, resp.status)
	require.True(t, bytes.Equal(large, got))
	require.Equal(t, "*", resp.header.Get("Access-Control-Allow-Origin"))
	resp, _ = do("GET", client+"/download/"+uri(raw), "", nil)
	require.Equal(t, 401, resp.status)
	resp, got = do("POST", "/_matrix/media/v3/upload", alice, io.MultiReader(bytes.NewReader(make([]byte, 50<<20+1))))
	require.Equal(t, 413, resp.status, string(got))
	resp, got = do("GET", "/_matrix/media/v3/download/"+uri(raw), bob, nil)
	require.Equal(t, 404, resp.status)
	require.Contains(t, string(got), "M_NOT_FOUND")

	for range 4 { // whichever instance waits
		_, raw = do("POST", "/_matrix/media/v1/create", alice, nil)
		id, thumbnails := uri(raw), make(chan []byte, 1)
		go func() {
			_, content := do("GET", client+"/thumbnail/"+id+"?width=32&height=32&method=crop", bob, nil)
			thumbnails <- content
		}()
		var picture bytes.Buffer
		require.NoError(t, png.Encode(&picture, image.NewNRGBA(image.Rect(0, 0, 100, 100))))
		resp, raw = do("PUT", "/_matrix/media/v3/upload/"+id, alice, &picture)
		require.Equal(t, 200, resp.status, string(raw))
		small, err := png.DecodeConfig(bytes.NewReader(<-thumbnails))
		require.NoError(t, err)
		require.Equal(t, 32, small.Width)
	}
}
