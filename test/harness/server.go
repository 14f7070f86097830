package harness

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/test/freeport"
)

// Options say how a server is started.
type Options struct {
	// Args are further arguments of `hongyan serve`.
	Args []string
	// Env are further environment variables, KEY=value.
	Env []string
}

// Server is a running `hongyan serve`.
type Server struct {
	*Process
	// URL is its base URL, the same after every restart.
	URL string
	// Dir is its data directory.
	Dir string

	binary string
}

//nolint:gochecknoglobals // one build serves all tests of a test binary
var build = sync.OnceValues(func() (string, error) {
	if binary := os.Getenv("TEST_HONGYAN_BIN"); binary != "" {
		return filepath.Abs(binary)
	}
	dir, err := os.MkdirTemp("", "hongyan-bin-")
	if err != nil {
		return "", fmt.Errorf("make a directory for the binary: %w", err)
	}
	binary := filepath.Join(dir, "hongyan")
	cmd := exec.Command("go", "build", "-tags", "no_k8s", "-o", binary, "./cmd/hongyan")
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build hongyan: %w\n%s", err, out)
	}
	return binary, nil
})

// Root is the folder of the module.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Start builds the binary if need be, starts it and waits until it answers.
func Start(t testing.TB, options Options) *Server {
	t.Helper()
	binary, err := build()
	require.NoError(t, err)
	s := &Server{Dir: t.TempDir(), binary: binary}
	s.URL = "http://" + freeAddress(t)
	s.Process = NewProcess("hongyan", options.Env)
	s.Move(s.Dir, options.Args...)
	t.Cleanup(func() {
		s.Stop(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.Log())
		}
	})
	require.NoError(t, s.Up(t.Context()))
	return s
}

func freeAddress(t testing.TB) string {
	addr, err := freeport.On(t.Context(), "127.0.0.1")
	require.NoError(t, err)
	return addr
}

// Up starts the process and waits until it answers.
func (s *Server) Up(ctx context.Context) error {
	if err := s.Start(); err != nil {
		return err
	}
	return s.await(ctx, "it answered", func(ctx context.Context) bool { return answers(ctx, s.URL+"/_matrix/client/versions") })
}

// Move makes the next Up start the server with another data directory and other further arguments, at the same address.
func (s *Server) Move(dir string, args ...string) {
	s.Dir = dir
	s.argv = append([]string{s.binary, "serve", "--data-dir", dir, "--listen", strings.TrimPrefix(s.URL, "http://"), "--rate-limits", "off"},
		args...)
}

// Command returns a process of another command of the binary.
func (s *Server) Command(args ...string) *Process {
	return NewProcess("hongyan "+args[0], nil, append([]string{s.binary}, args...)...)
}

// Run runs another command of the binary and returns what it printed.
func (s *Server) Run(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Stdin = bytes.NewBufferString(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("hongyan %v: %w", args, err)
	}
	return string(out), nil
}
