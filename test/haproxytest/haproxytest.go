package haproxytest

import (
	"encoding/csv"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	missing = `HAProxy is not installed: "make test" installs Debian's package "haproxy"`
	// patience only ends tests that have failed.
	patience = 30 * time.Second
)

// Proxy is a running HAProxy.
type Proxy struct {
	// URL is where clients connect.
	URL string

	dir string
}

// Start starts HAProxy and waits until it runs. It ends with the test.
func Start(t testing.TB, config Config) *Proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "hongyan-haproxy-") // a short path: it holds a socket
	if err != nil {
		t.Fatalf("start HAProxy: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &Proxy{dir: dir}
	stop, err := p.start(config)
	if err != nil {
		t.Fatalf("start HAProxy: %v", err)
	}
	t.Cleanup(func() {
		stop()
		if text := p.log(); t.Failed() {
			t.Logf("HAProxy said:\n%s", text)
		}
	})
	end := time.Now().Add(patience)
	for {
		_, err := p.command("show info")
		if err == nil {
			return p
		}
		if time.Now().After(end) {
			t.Fatalf("start HAProxy: %v: %s", err, p.log())
		}
		<-time.After(10 * time.Millisecond)
	}
}

func (p *Proxy) log() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, "log")) // what is missing says nothing
	return string(text)
}

// watch runs HAProxy and kills it when its standard input ends, which is when the test does or the test binary has gone.
const watch = `"$@" & pid=$!; trap : TERM INT HUP; read line; kill -KILL $pid; wait $pid; rm -rf "$HAPROXYTEST_DIR"`

func (p *Proxy) start(config Config) (stop func(), err error) {
	program, err := find()
	if err != nil {
		return nil, err
	}
	// HAProxy is handed a socket that listens already, so that nobody takes its port.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer func() { _ = listener.Close() }()
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	defer func() { _ = socket.Close() }()
	p.URL = "http://" + listener.Addr().String()
	path := filepath.Join(p.dir, "haproxy.cfg")
	if err := os.WriteFile(path, []byte(config.Text("fd@3", p.socket())), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", "-c", watch, "haproxytest", program, "-db", "-f", path)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "HAPROXYTEST_DIR="+p.dir)
	cmd.ExtraFiles = []*os.File{socket}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := os.Create(filepath.Join(p.dir, "log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = stdin.Close()
		_ = cmd.Wait() // it was killed
	}, nil
}

// find finds the program; Debian puts it where only root looks.
func find() (string, error) {
	for _, name := range []string{"haproxy", "/usr/sbin/haproxy"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s", missing)
}

func (p *Proxy) socket() string { return filepath.Join(p.dir, "sock") }

// command asks HAProxy over its own socket.
func (p *Proxy) command(text string) (string, error) {
	conn, err := net.DialTimeout("unix", p.socket(), time.Second)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, text+"\n"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

// Server is what HAProxy knows of a server.
type Server struct {
	// Addr is host:port.
	Addr string
	// Up says that it gets requests; Sessions is how many it had.
	Up       bool
	Sessions int64
}

// Servers returns the servers that have an address, in order of it.
func (p *Proxy) Servers(t testing.TB) []Server {
	t.Helper()
	answer, err := p.command("show stat gateways 4 -1") // 4: servers
	if err != nil {
		t.Fatalf("ask HAProxy: %v", err)
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(strings.TrimSpace(answer), "# "))).ReadAll()
	if err != nil || len(rows) == 0 {
		t.Fatalf("ask HAProxy: %v: %q", err, answer)
	}
	column := map[string]int{}
	for n, name := range rows[0] {
		column[name] = n
	}
	var servers []Server
	for _, row := range rows[1:] {
		addr := row[column["addr"]]
		if host, port, err := net.SplitHostPort(addr); err != nil || host == "" || port == "0" {
			continue // a slot without a server
		}
		sessions, _ := strconv.ParseInt(row[column["stot"]], 10, 64)
		servers = append(servers, Server{Addr: addr, Up: strings.HasPrefix(row[column["status"]], "UP"), Sessions: sessions})
	}
	slices.SortFunc(servers, func(a, b Server) int { return strings.Compare(a.Addr, b.Addr) })
	return servers
}

// Await waits until just these servers (host:port) get requests.
func (p *Proxy) Await(t testing.TB, addrs ...string) {
	t.Helper()
	want := slices.Sorted(slices.Values(addrs))
	end := time.Now().Add(patience)
	for {
		var up []string
		for _, s := range p.Servers(t) {
			if s.Up {
				up = append(up, s.Addr)
			}
		}
		if slices.Equal(up, want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("HAProxy sends requests to %v, want %v", up, want)
		}
		<-time.After(10 * time.Millisecond)
	}
}
