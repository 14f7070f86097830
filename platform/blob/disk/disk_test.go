package disk_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/blob"
	"hongyan/platform/blob/blobtest"
	"hongyan/platform/blob/disk"
)

func TestConformance(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store {
		s, err := disk.Open(filepath.Join(t.TempDir(), "blobs"))
		require.NoError(t, err)
		return s
	})
}

// TestNothingIsLeft has a file behind the blob alone, in its folder and for its user only, and removes what a crash left.
func TestNothingIsLeft(t *testing.T) {
	root := t.TempDir()
	s, err := disk.Open(root)
	require.NoError(t, err)
	_, err = s.Put(t.Context(), "abcdef", strings.NewReader("content"))
	require.NoError(t, err)
	_, err = s.Put(t.Context(), "abcdef2", errReader{})
	require.Error(t, err)
	require.Equal(t, []string{"ab/cd/abcdef"}, files(t, root))
	info, err := os.Stat(filepath.Join(root, "ab/cd/abcdef"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())

	require.NoError(t, os.WriteFile(filepath.Join(root, "tmp", "abcdef3"), []byte("half"), 0o600))
	require.NoError(t, s.Delete(t.Context(), "abcdef3"))
	require.NoError(t, s.Delete(t.Context(), "abcdef"))
	require.Empty(t, files(t, root))
	_, err = disk.Open(filepath.Join(os.DevNull, "x"))
	require.Error(t, err)
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

func files(t *testing.T, root string) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, err := filepath.Rel(root, path)
			require.NoError(t, err)
			names = append(names, name)
		}
		return err
	}))
	return names
}
