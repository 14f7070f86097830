package harness

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Registry is the registry's server, as a test treats it.
type Registry interface {
	// Addr is where clients connect (host:port).
	Addr() string
	// Stop kills it. Its data stay.
	Stop(t testing.TB)
	// Start starts it again at the same address and waits until it answers.
	Start(t testing.TB)
	// Wipe restarts it without its data.
	Wipe(t testing.TB)
}

// etcd is `hongyan registry`, of which only the registry is used: the bus is another process, so that they fail one at a time.
type etcd struct {
	*Process
	addr, dir string
}

func startEtcd(t testing.TB) *etcd {
	binary, err := build()
	require.NoError(t, err)
	e := &etcd{addr: freeAddress(t), dir: filepath.Join(t.TempDir(), "registry")}
	e.Process = NewProcess("registry", nil, binary, "registry",
		"--data-dir", e.dir, "--listen", e.addr, "--bus-listen", "")
	t.Cleanup(func() { e.Process.Stop(syscall.SIGKILL) })
	e.Start(t)
	return e
}

// Addr implements Registry.
func (e *etcd) Addr() string { return e.addr }

// Stop implements Registry.
func (e *etcd) Stop(testing.TB) { e.Process.Stop(syscall.SIGKILL) }

// Start implements Registry.
func (e *etcd) Start(t testing.TB) {
	require.NoError(t, e.Process.Start())
	require.NoError(t, e.awaitPort(t.Context(), e.addr))
}

// Wipe implements Registry.
func (e *etcd) Wipe(t testing.TB) {
	e.Stop(t)
	require.NoError(t, os.RemoveAll(e.dir))
	e.Start(t)
}

// startBus starts Debian's NATS server.
func startBus(t testing.TB) (bus *Process, addr string) {
	program, err := exec.LookPath("nats-server")
	require.NoError(t, err, `"make deps" installs Debian's package "nats-server"`)
	addr = freeAddress(t)
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	bus = NewProcess("nats", nil, program, "-a", host, "-p", port)
	t.Cleanup(func() { bus.Stop(syscall.SIGKILL) })
	require.NoError(t, bus.Start())
	require.NoError(t, bus.awaitPort(t.Context(), addr))
	return bus, addr
}
