package harness

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Link is a TCP connection's way to a server, which a test interrupts: a proxy on a port of its own.
type Link struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	state linkState
	wires map[*wire]struct{}
	wg    sync.WaitGroup
}

// linkState is what happens to what is on its way.
type linkState int

const (
	linked linkState = iota
	// unplugged swallows everything in both directions: nobody is told, new connections are accepted and stay silent, as a
	// host behind a broken switch would let them (but for the accepting).
	unplugged
	// refusing ends connections at once.
	refusing
)

// wire is one connection.
type wire struct {
	client, server net.Conn
	// dropAnswer ends the connection when the server's next answer comes, in place of handing it on.
	dropAnswer bool
}

// NewLink returns the way to target (host:port), listening on a free port of host. The test's end closes it.
func NewLink(t testing.TB, host, target string) *Link {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(host, "0"))
	require.NoError(t, err)
	link := &Link{listener: l, target: target, wires: map[*wire]struct{}{}}
	link.wg.Go(link.accept)
	t.Cleanup(func() {
		_ = l.Close()
		link.Refuse()
		link.wg.Wait()
	})
	return link
}

// Addr is where it listens (host:port).
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Unplug swallows everything from now on, without telling anybody.
func (l *Link) Unplug() { l.set(unplugged) }

// Refuse ends all connections, and new ones as they come.
func (l *Link) Refuse() {
	l.set(refusing)
	l.each(func(w *wire) { w.close() })
}

// Plug lets new connections through again. Those that were unplugged are ended: what they swallowed cannot come back.
func (l *Link) Plug() {
	l.set(linked)
	l.each(func(w *wire) { w.close() })
}

// Cut ends all present connections at once, whatever is under way in them. It returns how many there were.
func (l *Link) Cut() int { return l.each(func(w *wire) { w.close() }) }

// CutAnswers ends each present connection in place of handing on the server's next answer: the server has done what it was
// asked, and the client cannot know.
func (l *Link) CutAnswers() int { return l.each(func(w *wire) { w.dropAnswer = true }) }

func (l *Link) set(s linkState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = s
}

func (l *Link) each(f func(*wire)) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.wires {
		f(w)
	}
	return len(l.wires)
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.wg.Go(func() { l.serve(client) })
	}
}

func (l *Link) serve(client net.Conn) {
	w := &wire{client: client}
	defer w.close()
	l.mu.Lock()
	state := l.state
	if state == refusing {
		l.mu.Unlock()
		return
	}
	l.wires[w] = struct{}{}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.wires, w)
		l.mu.Unlock()
	}()
	if state == unplugged {
		_, _ = io.Copy(io.Discard, client) // until the client gives up, or Plug ends it
		return
	}
	server, err := (&net.Dialer{}).Dial("tcp", l.target)
	if err != nil {
		return
	}
	l.mu.Lock()
	w.server = server
	l.mu.Unlock()
	var asked sync.WaitGroup
	asked.Go(func() {
		l.copy(w, server, client, false)
		if l.passing() {
			_ = server.Close()
		}
	})
	l.copy(w, client, server, true)
	if !l.passing() {
		_, _ = io.Copy(io.Discard, client) // an unplugged client does not hear that the server has gone
	}
	w.close()
	asked.Wait()
}

func (l *Link) passing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state != unplugged
}

// copy hands on what comes from one side, as long as it may.
func (l *Link) copy(w *wire, to io.Writer, from io.Reader, answer bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			l.mu.Lock()
			state, drop := l.state, answer && w.dropAnswer
			l.mu.Unlock()
			if drop {
				return
			}
			if state == linked {
				if _, err := to.Write(buf[:n]); err != nil {
					return
				}
			}
		}
		if err != nil {
			return
		}
	}
}

// close ends both sides. It may be called more than once, also with the link's lock held.
func (w *wire) close() {
	_ = w.client.Close()
	if w.server != nil {
		_ = w.server.Close()
	}
}
