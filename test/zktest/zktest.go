package zktest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	jar         = "/usr/share/java/zookeeper.jar"
	missing     = `ZooKeeper is not installed: "make test" installs Debian's package "zookeeper"`
	missingJava = `there is no java in PATH: "make test" installs Debian's package "default-jre-headless"`
	// tick is ZooKeeper's unit of time; the shortest session is two of them.
	tick = 2 * time.Second
)

// MinSession is the shortest session that the server grants.
const MinSession = 2 * tick

// Server is one ZooKeeper server.
type Server struct {
	java string
	dir  string
	port int

	mu sync.Mutex
	// process is nil while it is stopped. stdin is what its watcher reads: the server is killed when it closes, with
	// this process at the latest.
	process *exec.Cmd
	stdin   io.WriteCloser
}

// shared is the binary's server. It starts with the first test that wants it; there is nothing to inject it
// into, since tests share nothing but their binary.
var shared = sync.OnceValues(launch)

// Shared returns the test binary's server. Who stops it starts it again.
func Shared(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatalf("start ZooKeeper: %v", err)
	}
	return s
}

// New returns a server that ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s, err := launch()
	if err != nil {
		t.Fatalf("start ZooKeeper: %v", err)
	}
	t.Cleanup(func() {
		s.Stop(t)
		_ = os.RemoveAll(s.dir)
	})
	return s
}

// Addr is where clients connect (host:port).
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Stop kills the server, which keeps its data. One that is stopped is no error.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	_, _ = io.WriteString(s.stdin, "keep\n")
	_ = s.stdin.Close()
	_ = s.process.Wait() // it was killed
	s.process = nil
}

// Start starts a stopped server at the same address and waits until it answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatalf("start ZooKeeper: %v", err)
	}
}

// Wipe restarts the server without any data.
func (s *Server) Wipe(t testing.TB) {
	t.Helper()
	s.Stop(t)
	if err := os.RemoveAll(s.data()); err != nil {
		t.Fatalf("wipe ZooKeeper: %v", err)
	}
	s.Start(t)
}

// Freeze lets the server hang until Thaw: connections stay open and nothing answers.
func (s *Server) Freeze(t testing.TB) {
	t.Helper()
	pid := s.signal(t, syscall.SIGSTOP)
	// The signal only asks: on a busy machine threads go on for a while.
	for end := time.Now().Add(time.Minute); !stopped(pid); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("freeze ZooKeeper: it goes on")
		}
	}
}

// stopped says whether every thread of a process is.
func stopped(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it ended
		}
		// "pid (name) state ...": a name may hold anything.
		_, state, _ := strings.Cut(string(stat[max(bytes.LastIndexByte(stat, ')'), 0):]), " ")
		if err != nil || !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return err == nil && len(threads) > 0
}

// Thaw lets a frozen server go on.
func (s *Server) Thaw(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGCONT)
}

// signal returns the server's process id.
func (s *Server) signal(t testing.TB, sig syscall.Signal) int {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	pid, err := os.ReadFile(filepath.Join(s.dir, "pid"))
	if err != nil {
		t.Fatalf("signal ZooKeeper: %v", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(pid)))
	if err != nil || s.process == nil {
		t.Fatalf("signal ZooKeeper: it does not run")
	}
	if err := syscall.Kill(n, sig); err != nil {
		t.Fatalf("signal ZooKeeper: %v", err)
	}
	return n
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// launch makes a directory and starts a server in it.
func launch() (*Server, error) {
	if _, err := os.Stat(jar); err != nil {
		return nil, errors.New(missing)
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, errors.New(missingJava)
	}
	dir, err := os.MkdirTemp("", "hongyan-zk-")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &Server{java: java, dir: dir, port: port}
	config := fmt.Sprintf("tickTime=%d\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n"+
		"admin.enableServer=false\n4lw.commands.whitelist=srvr\n", tick.Milliseconds(), s.data(), port)
	if err := os.WriteFile(s.config(), []byte(config), 0o600); err != nil {
		return nil, err
	}
	return s, s.start()
}

func (s *Server) config() string { return filepath.Join(s.dir, "zoo.cfg") }

// watch runs the server and kills it when its standard input ends, which is when it is stopped or the test binary has gone.
// In the second case nobody has written that the directory is to be kept.
const watch = `"$@" & pid=$!; echo $pid >"$ZKTEST_DIR/pid"; trap : TERM INT HUP
read line; kill -KILL $pid; wait $pid; test "$line" = keep || rm -rf "$ZKTEST_DIR"`

func (s *Server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return nil
	}
	args := []string{"-c", watch, "zktest", s.java, "-Xms16m", "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dzookeeper.forceSync=no", "-Dzookeeper.preAllocSize=256", "-Dzookeeper.jmx.log4j.disable=true", "-cp", jar,
		"org.apache.zookeeper.server.ZooKeeperServerMain", s.config()}
	cmd := exec.Command("/bin/sh", args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "ZKTEST_DIR="+s.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.process, s.stdin = cmd, stdin
	if err := s.await(); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w: %s", err, text)
	}
	return nil
}

// await returns when the server answers.
func (s *Server) await() error {
	end := time.Now().Add(time.Minute)
	for {
		err := s.ask()
		if err == nil || time.Now().After(end) {
			return err
		}
		<-time.After(20 * time.Millisecond)
	}
}

// ask asks the server what it is: it tells when it takes requests.
func (s *Server) ask() error {
	conn, err := net.DialTimeout("tcp", s.Addr(), time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("srvr")); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && !strings.HasPrefix(string(answer), "Zookeeper version") {
		err = fmt.Errorf("it says %q", answer)
	}
	return err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
