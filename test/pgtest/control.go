package pgtest

import (
	"io"
	"sync"
	"testing"
)

// Server is a server of a test's own, which waits for the disk and which the test stops and starts again.
type Server struct {
	t testing.TB

	mu sync.Mutex
	s  *server
}

// StartServer starts one, for clients on loopback and, where given, on the networks (/24) of further addresses of this
// machine. It ends with the test.
func StartServer(t testing.TB, hosts ...string) *Server {
	t.Helper()
	s := launch(true, hosts...)
	p := &Server{t: t, s: s}
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if s.stdin != nil {
			_ = s.stdin.Close()
		}
	})
	if s.err != nil {
		t.Fatalf("start PostgreSQL: %v", s.err)
	}
	return p
}

// Database returns the URL of a new database on it.
func (p *Server) Database() string {
	p.t.Helper()
	return database(p.t, p.s)
}

// Port is where it listens.
func (p *Server) Port() int { return p.s.port }

// Kill stops it at once, as a crash would: what clients were doing is cut off, and the next start recovers.
func (p *Server) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := io.WriteString(p.s.stdin, "keep\n"); err != nil {
		return err
	}
	_ = p.s.watcher.Wait() // the watcher's status is the server's, which was told to quit; this closes stdin too
	return nil
}

// Up starts it again after Kill, on the same port and data, and waits until it answers.
func (p *Server) Up() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.s.up()
}
