package s3_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/require"

	"hongyan/platform/blob"
	"hongyan/platform/blob/blobtest"
	"hongyan/platform/blob/s3"
)

// serve starts an object store with one bucket and says where it is.
func serve(t *testing.T) s3.Config {
	t.Helper()
	backend := s3mem.New()
	require.NoError(t, backend.CreateBucket("media"))
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	return s3.Config{
		Endpoint: server.URL, Bucket: "media", Prefix: "chat/", Region: "us-east-1",
		AccessKey: "access", SecretKey: "secret", PathStyle: true,
	}
}

func TestConformance(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store {
		s, err := s3.New(serve(t), nil)
		require.NoError(t, err)
		require.NoError(t, s.Check(t.Context()))
		return s
	})
}

func TestWhatCannotWork(t *testing.T) {
	right := serve(t)
	for name, change := range map[string]func(*s3.Config){
		"no URL":        func(c *s3.Config) { c.Endpoint = "s3.example.org" },
		"a path":        func(c *s3.Config) { c.Endpoint += "/media" },
		"a password":    func(c *s3.Config) { c.Endpoint = "https://user:secret@s3.example.org" },
		"no bucket":     func(c *s3.Config) { c.Bucket = "" },
		"another thing": func(c *s3.Config) { c.Endpoint = "ftp://s3.example.org" },
	} {
		c := right
		change(&c)
		_, err := s3.New(c, nil)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "secret")
	}
	require.NoError(t, s3.Config{}.Validate(), "none at all")
	missing := right
	missing.Bucket = "other"
	s, err := s3.New(missing, nil)
	require.NoError(t, err)
	require.ErrorContains(t, s.Check(t.Context()), "other")
	_, err = s.Put(t.Context(), "abcd", strings.NewReader("x"))
	require.Error(t, err)
}
