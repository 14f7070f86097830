package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hongyan/test/freeport"
)

const missing = `PostgreSQL is not installed: "make test" installs Debian's package "postgresql"`

// server is one PostgreSQL server.
type server struct {
	url  string // of the database "postgres"
	port int
	// stdin is what the server's watcher reads; the server stops when it closes, with this process at the latest.
	stdin io.WriteCloser
	err   error
	// watcher has ended when the server has.
	watcher *exec.Cmd
	// How it was started.
	bin, dir string
	cred     *syscall.Credential
	args     []string
}

// shared is the binary's server. It starts with the first test that wants it; there is nothing to inject it
// into, since tests share nothing but their binary.
var shared = sync.OnceValue(func() *server { return launch(false) })

// Start returns the URL of a new database on the test binary's server, which does not wait for the disk.
func Start(t testing.TB) string {
	t.Helper()
	return database(t, shared())
}

// StartDurable is Start on a server of the test's own that does wait for the disk.
func StartDurable(t testing.TB) string {
	t.Helper()
	s := launch(true)
	if s.stdin != nil {
		t.Cleanup(func() { _ = s.stdin.Close() })
	}
	return database(t, s)
}

func database(t testing.TB, s *server) string {
	t.Helper()
	if s.err != nil {
		t.Fatalf("start PostgreSQL: %v", s.err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		t.Fatalf("connect to PostgreSQL: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	name := "test_" + strings.ToLower(rand.Text())
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create database: %v", err)
	}
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.port, name)
}

// launch makes a cluster and starts a server on it, for clients on loopback and on the networks of further hosts.
func launch(durable bool, hosts ...string) *server {
	bin, err := binaries()
	if err != nil {
		return &server{err: err}
	}
	dir, err := os.MkdirTemp("", "hongyan-pg-")
	if err != nil {
		return &server{err: err}
	}
	cred, err := credential(dir)
	if err != nil {
		return &server{err: err}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust",
		"--no-sync", "--encoding=UTF8", "--locale=C")
	initdb.Dir = dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	if out, err := initdb.CombinedOutput(); err != nil {
		return &server{err: fmt.Errorf("initdb: %w: %s", err, out)}
	}
	return start(bin, dir, data, cred, durable, hosts)
}

// watch runs the server and ends it when its standard input does, which is when the test binary has gone. Its data go too,
// unless the line "keep" came before.
const watch = `"$@" & pid=$!; trap : TERM INT HUP; read how; kill -QUIT $pid; wait $pid; [ "$how" = keep ] || rm -rf "$PGTEST_DIR"`

func start(bin, dir, data string, cred *syscall.Credential, durable bool, hosts []string) *server {
	port, err := freePort()
	if err != nil {
		return &server{err: err}
	}
	if err := admit(data, hosts); err != nil {
		return &server{err: err}
	}
	s := &server{
		url: fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port), port: port,
		bin: bin, dir: dir, cred: cred,
	}
	s.args = []string{
		"-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=" + strings.Join(append([]string{"127.0.0.1"}, hosts...), ","),
		"-c", "unix_socket_directories=" + dir, "-c", "max_connections=300",
		"-c", "shared_buffers=64MB", "-c", "log_min_messages=fatal", "-c", "max_wal_size=2GB",
	}
	if !durable {
		s.args = append(s.args, "-c", "fsync=off", "-c", "full_page_writes=off")
	}
	s.err = s.up()
	return s
}

// up starts the server and waits until it answers.
func (s *server) up() error {
	cmd := exec.Command("/bin/sh", append([]string{"-c", watch, "pgtest", filepath.Join(s.bin, "postgres")}, s.args...)...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PGTEST_DIR="+s.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Setpgid: true}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	if s.stdin, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.watcher = cmd
	if err := s.await(); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w: %s", err, text)
	}
	return nil
}

// admit lets the networks (/24) of hosts in.
func admit(data string, hosts []string) error {
	if len(hosts) == 0 {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(data, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	for _, host := range hosts {
		if _, err := fmt.Fprintf(f, "host all all %s/24 trust\n", host); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// await returns when the server answers.
func (s *server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.url)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// binaries finds the newest installed server's programs.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
		return filepath.Dir(newest), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New(missing)
	}
	return filepath.Dir(path), nil
}

func version(initdb string) int {
	v, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
	return v
}

// credential is the unprivileged user that a root user's server runs as. The directory becomes this user's.
func credential(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", missing, err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, uid, gid)
}

func freePort() (int, error) {
	addr, err := freeport.On(context.Background(), "127.0.0.1")
	if err != nil {
		return 0, err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
