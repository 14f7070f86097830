package cli_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/app/cli"
	"hongyan/test/pgtest"
)

// serve runs a server by its command; stop ends it.
func serve(t *testing.T, args ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var stderr output
	done := make(chan int, 1)
	args = append([]string{"serve", "--listen", "127.0.0.1:0", "--drain-spread", "0s",
		"--identity-passwords-memory-kib", "64", "--identity-passwords-iterations", "1"}, args...)
	go func() { done <- cli.Main(ctx, "v0-test", args, strings.NewReader(""), &output{}, &stderr) }()
	require.Eventually(t, func() bool { return strings.Contains(stderr.String(), "serves ") }, time.Minute, 10*time.Millisecond, "it does not start")
	return func() {
		cancel()
		require.Zero(t, <-done, stderr.String())
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}
}

func TestABackupGoesThroughPipes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "old")
	here := []string{"--data-dir", dir, "--server-name", "chat.example.org"}
	fails(t, "no such file", "backup", "--data-dir", dir, filepath.Join(t.TempDir(), "x"))
	require.NoDirExists(t, dir)
	require.NoError(t, os.Mkdir(dir, 0o700))
	key := []byte("ed25519 a_old " + strings.Repeat("A", 43) + "\n") // where earlier versions kept it
	require.NoError(t, os.WriteFile(filepath.Join(dir, "signing.key"), key, 0o600))
	stop := serve(t, here...)
	must(t, "correct horse", "user", "add", "alice", "--data-dir", dir)
	status, archive, errOut := run(t, "", "backup", "--data-dir", dir, "-") // the name of the server is that of its users
	require.Zero(t, status, errOut)
	require.Regexp(t, `^backed up chat\.example\.org: \d+ rows of \d+ tables and the file signing.key in `, errOut)
	fails(t, "is in use by another server", "migrate", "--from-data-dir", dir, "--to-data-dir", t.TempDir())
	stop()

	into := filepath.Join(t.TempDir(), "new")
	status, _, errOut = run(t, archive, "restore", "--data-dir", into, "-")
	require.Equal(t, 1, status)
	require.Contains(t, errOut, `the archive is of the server "chat.example.org" and would be restored as "localhost"`)
	status, _, errOut = run(t, archive[:len(archive)/2], "restore", "--data-dir", into, "--server-name", "chat.example.org", "-")
	require.Equal(t, 1, status)
	require.Contains(t, errOut, "the archive is damaged: it ends too early")
	require.NoDirExists(t, into, "nothing is written before all is read")
	there := []string{"--data-dir", into, "--server-name", "chat.example.org"}
	require.NoError(t, os.Mkdir(into, 0o700))
	other := filepath.Join(into, "signing.key")
	require.NoError(t, os.WriteFile(other, []byte("ed25519 a bm8=\n"), 0o600))
	status, _, errOut = run(t, archive, append([]string{"restore", "-"}, there...)...)
	require.Equal(t, 1, status)
	require.Contains(t, errOut, "is the key of another server")
	require.NoError(t, os.Remove(other))
	require.Regexp(t, `^restored chat\.example\.org as it was on `, must(t, archive, append([]string{"restore", "-"}, there...)...))
	status, _, errOut = run(t, archive, append([]string{"restore", "-"}, there...)...)
	require.Equal(t, 1, status)
	require.Contains(t, errOut, "it is in use already")
	for _, name := range []string{"identity.db", "room.db", "sync.db"} {
		info, err := os.Stat(filepath.Join(into, name))
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, name)
	}
	stop = serve(t, there...)
	require.Contains(t, must(t, "", "user", "list", "--data-dir", into), "@alice:chat.example.org")
	stop()
}

func TestWhereToMigrate(t *testing.T) {
	dir := t.TempDir()
	serve(t, "--data-dir", dir)()
	fails(t, "where to? give --to-database", "migrate", "--from-data-dir", dir)
	fails(t, "would be moved to where it is", "migrate", "--from-data-dir", dir, "--to-data-dir", dir+"/../"+filepath.Base(dir))
	fails(t, "data directory of the source", "migrate", "--from-data-dir", dir+"/none", "--to-database", pgtest.Start(t))
	fails(t, "database: want postgres://", "migrate", "--from-data-dir", dir, "--to-database", "sqlite:x")
	url := pgtest.Start(t)
	require.Regexp(t, `^moved localhost: \d+ rows of \d+ tables in `,
		must(t, "", "migrate", "--from-data-dir", dir, "--to-database", url))
	fails(t, `were moved to postgres://postgres@127.0.0.1`, "serve", "--data-dir", dir, "--listen", "127.0.0.1:0")
	require.NoError(t, os.Remove(filepath.Join(dir, "moved-to")))
	serve(t, "--data-dir", dir)()
	serve(t, "--data-dir", dir, "--database", url)()
}
