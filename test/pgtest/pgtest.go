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
)

const missing = `PostgreSQL is not installed: "make test" installs Debian's package "postgresql"`

// server is one PostgreSQL server.
type server struct {
	url  string // of the database "postgres"
	port int
	// stdin is what the server's watcher reads; the server stops when it closes, with this process at the latest.
	stdin io.Closer
	err   error
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

// launch makes a cluster and starts a server on it.
func launch(durable bool) *server {
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
	return start(bin, dir, data, cred, durable)
}

// watch runs the server and ends it when its standard input does, which is when the test binary has gone.
const watch = `"$@" & pid=$!; trap : TERM INT HUP; read _; kill -QUIT $pid; wait $pid; rm -rf "$PGTEST_DIR"`

func start(bin, dir, data string, cred *syscall.Credential, durable bool) *server {
	port, err := freePort()
	if err != nil {
		return &server{err: err}
	}
	args := []string{"-c", watch, "pgtest", filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + dir, "-c", "max_connections=200",
		"-c", "shared_buffers=64MB", "-c", "log_min_messages=fatal", "-c", "max_wal_size=2GB"}
	if !durable {
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off")
	}
	cmd := exec.Command("/bin/sh", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PGTEST_DIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Setpgid: true}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return &server{err: err}
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return &server{err: err}
	}
	if err := cmd.Start(); err != nil {
		return &server{err: err}
	}
	s := &server{url: fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port), port: port, stdin: stdin}
	if err := s.await(); err != nil {
		text, _ := os.ReadFile(log.Name())
		s.err = fmt.Errorf("%w: %s", err, text)
	}
	return s
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
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
