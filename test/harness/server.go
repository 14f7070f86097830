package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
	// URL is its base URL, the same after every restart.
	URL string
	// Dir is its data directory.
	Dir string

	t       testing.TB
	binary  string
	address string
	options Options

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
	log  *tail
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
	s := &Server{t: t, binary: binary, Dir: t.TempDir(), address: freeAddress(t), options: options, log: &tail{}}
	s.URL = "http://" + s.address
	t.Cleanup(func() {
		s.Stop(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.log)
		}
	})
	require.NoError(t, s.Up(t.Context()))
	return s
}

func freeAddress(t testing.TB) string {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// Up starts the process and waits until it answers.
func (s *Server) Up(ctx context.Context) error {
	args := append([]string{"serve", "--data-dir", s.Dir, "--listen", s.address, "--rate-limits", "off"}, s.options.Args...)
	cmd := exec.Command(s.binary, args...) //nolint:noctx // it outlives the call; Stop ends it
	cmd.Env = append(os.Environ(), s.options.Env...)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start hongyan: %w", err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	s.mu.Lock()
	s.cmd, s.done = cmd, done
	s.mu.Unlock()
	return s.await(ctx, done)
}

func (s *Server) await(ctx context.Context, done <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/_matrix/client/versions", nil)
		if err != nil {
			return fmt.Errorf("ask for versions: %w", err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-done:
			return errors.New("hongyan ended before it answered:\n" + s.log.String())
		case <-ctx.Done():
			return fmt.Errorf("hongyan did not answer: %w\n%s", ctx.Err(), s.log)
		case <-tick.C:
		}
	}
}

// Signal sends a signal to the process.
func (s *Server) Signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.cmd.Process.Signal(sig)
}

// PID is the running process.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process.Pid
}

// Stop sends a signal, waits for the end and returns the exit status; -1 when a signal ended it.
func (s *Server) Stop(sig syscall.Signal) int {
	s.mu.Lock()
	cmd, done := s.cmd, s.done
	s.mu.Unlock()
	if cmd == nil {
		return 0
	}
	_ = cmd.Process.Signal(sig)
	<-done
	return cmd.ProcessState.ExitCode()
}

// Log is the end of what the server printed.
func (s *Server) Log() string { return s.log.String() }

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

// tail keeps the end of a log.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 64 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailBytes; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
