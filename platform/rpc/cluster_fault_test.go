package rpc_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	pb "github.com/fullstorydev/grpchan/grpchantesting"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"hongyan/matrix"
	"hongyan/platform/obs/obstest"
	"hongyan/platform/registry"
	"hongyan/platform/rpc"
)

// serveEnv makes the test's binary an instance: tests that kill and stop processes run it.
const serveEnv = "HONGYAN_RPC_TEST_SERVE"

func TestMain(m *testing.M) {
	if id := os.Getenv(serveEnv); id != "" {
		serveProcess(id)
		return
	}
	obstest.Main(m)
}

func serveProcess(id string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString(listener.Addr().String() + "\n")
	go func() { // ends with the test that started it
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		os.Exit(0)
	}()
	_ = newServer(id, nil).NewGRPC().Serve(listener)
}

// process starts an instance in a process of its own and registers it.
func (w *world) process(id string) *os.Process {
	w.t.Helper()
	p, _ := w.registered(id)
	return p
}

// registered is process, and returns what is registered of it too.
func (w *world) registered(id string) (*os.Process, *node) {
	w.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"="+id)
	_, err := cmd.StdinPipe()
	require.NoError(w.t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(w.t, err)
	require.NoError(w.t, cmd.Start())
	w.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(w.t, err)
	n := &node{registry: w.store.Open(), record: registry.Instance{
		Service: service, BootID: id, GRPC: strings.TrimSpace(address), State: registry.Ready,
	}}
	w.t.Cleanup(func() { require.NoError(w.t, n.registry.Close()) })
	w.put(n)
	return cmd.Process, n
}

// load calls all the time, half of the calls with keys, and counts.
type load struct {
	calls, failures atomic.Int64
	longest         atomic.Int64
	last            atomic.Value
	byInstance      sync.Map
	cancel          context.CancelFunc
	running         sync.WaitGroup
}

func (w *world) load(callers int) *load {
	l := &load{}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	client := w.client()
	for g := range callers {
		l.running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				call := context.Background()
				if n%2 == 0 {
					call = rpc.WithKey(call, fmt.Sprintf("!%d-%d:test", g, n))
				}
				start := time.Now()
				m, err := client.Unary(call, &pb.Message{})
				l.calls.Add(1)
				if took := int64(time.Since(start)); took > l.longest.Load() {
					l.longest.Store(took)
				}
				if err != nil {
					l.failures.Add(1)
					l.last.Store(err.Error())
					continue
				}
				count, _ := l.byInstance.LoadOrStore(string(m.GetPayload()), new(atomic.Int64))
				count.(*atomic.Int64).Add(1)
			}
		})
	}
	w.t.Cleanup(l.stop)
	return l
}

func (l *load) stop() {
	l.cancel()
	l.running.Wait()
}

func (l *load) from(id string) int64 {
	if count, ok := l.byInstance.Load(id); ok {
		return count.(*atomic.Int64).Load()
	}
	return 0
}

// more waits until that many further calls have ended.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	before := l.calls.Load()
	require.Eventually(t, func() bool { return l.calls.Load() >= before+n }, patience, time.Millisecond)
}

func (l *load) check(t *testing.T) {
	t.Helper()
	l.stop()
	require.Zero(t, l.failures.Load(), "%v", l.last.Load())
	t.Logf("%d calls, the longest took %v", l.calls.Load(), time.Duration(l.longest.Load()))
}

func reads() rpc.Options { return rpc.Options{Idempotent: func(string) bool { return true }} }

func TestKilledProcess(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{Options: reads()})
	processes := []*os.Process{w.process("a"), w.process("b"), w.process("c")}
	l := w.load(16)
	l.more(t, 500)
	require.NoError(t, processes[0].Kill())
	l.more(t, 2000)
	require.NoError(t, processes[1].Kill())
	l.more(t, 2000)
	l.check(t)
}

// A stopped process keeps its connections: pings expose it, what waits for it goes elsewhere, and it is back when it
// goes on.
func TestHungProcess(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{Options: reads()})
	hung := w.process("a")
	w.process("b")
	w.process("c")
	l := w.load(16)
	l.more(t, 500)
	require.NoError(t, hung.Signal(syscall.SIGSTOP))
	a := w.dir.All(service)[0]
	require.Eventually(t, func() bool { return w.dir.IsDown(a) }, patience, time.Millisecond)
	l.more(t, 1000)
	before := l.from("a")
	l.more(t, 1000)
	require.Equal(t, before, l.from("a"))
	for _, tr := range w.cluster.Traffic() {
		require.Equal(t, tr.Instance.BootID == "a", tr.Down)
	}
	require.NoError(t, hung.Signal(syscall.SIGCONT))
	require.Eventually(t, func() bool { return !w.dir.IsDown(a) && l.from("a") > before }, patience, time.Millisecond)
	l.check(t)
}

// An instance that is told to stop refuses, and its callers ask others: nothing fails, though nothing is idempotent.
func TestDraining(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{})
	nodes := three(w)
	l := w.load(16)
	for _, n := range nodes[:2] {
		l.more(t, 500)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		require.NoError(t, n.server.Drain(ctx, n.grpc)) // still registered
		cancel()
	}
	l.more(t, 1000)
	l.check(t)
}

// The same with the record gone first, one after the other, and new ones in their places.
func TestRollingRestart(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{})
	nodes := three(w)
	l := w.load(16)
	for i, n := range nodes {
		l.more(t, 200)
		id := fmt.Sprintf("new%d", i)
		w.serve(id, newServer(id, nil))
		require.NoError(t, n.registry.Remove(t.Context(), n.record))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		require.NoError(t, n.server.Drain(ctx, n.grpc))
		cancel()
	}
	require.Eventually(t, func() bool { return l.from("new0") > 0 && l.from("new1") > 0 && l.from("new2") > 0 }, patience, time.Millisecond)
	l.check(t)
}

// What was sent is only repeated when it is idempotent.
func TestSentOnce(t *testing.T) {
	for _, tc := range []struct {
		name       string
		idempotent bool
		calls      int64
		status     int
	}{{"a write", false, 1, 503}, {"a read", true, 2, 0}} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, rpc.ClusterOptions{Options: rpc.Options{Idempotent: func(string) bool { return tc.idempotent }}})
			var calls atomic.Int64
			var nodes sync.Map
			for _, id := range []string{"a", "b"} {
				n := w.serve(id, newServer(id, func(context.Context, *pb.Message) (*pb.Message, error) {
					if calls.Add(1) == 1 {
						n, _ := nodes.Load(id)
						n.(*node).kill()
					}
					return &pb.Message{}, nil
				}))
				nodes.Store(id, n)
			}
			_, err := w.client().Unary(t.Context(), &pb.Message{})
			if tc.status == 0 {
				require.NoError(t, err)
			} else {
				require.Equal(t, tc.status, matrix.AsError(err).Status)
			}
			require.Equal(t, tc.calls, calls.Load())
		})
	}
}

// An application's own 503 is an answer: a write that got one is not sent again.
func TestUnavailableAnswer(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{})
	var calls atomic.Int64
	for _, id := range []string{"a", "b"} {
		w.serve(id, newServer(id, func(context.Context, *pb.Message) (*pb.Message, error) {
			calls.Add(1)
			return nil, matrix.Unavailable(nil)
		}))
	}
	_, err := w.client().Unary(t.Context(), &pb.Message{})
	require.Equal(t, 503, matrix.AsError(err).Status)
	require.EqualValues(t, 1, calls.Load())
}

// When everything fails, calls are repeated as often as the budget says and no more.
func TestBudget(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{Options: reads(), Now: func() time.Time { return time.Unix(1000, 0) }})
	var calls atomic.Int64
	for _, id := range []string{"a", "b", "c"} {
		w.serve(id, newServer(id, func(context.Context, *pb.Message) (*pb.Message, error) {
			calls.Add(1)
			return nil, matrix.Unavailable(nil)
		}))
	}
	const n = 1000
	for range n {
		_, err := w.client().Unary(t.Context(), &pb.Message{})
		require.Equal(t, 503, matrix.AsError(err).Status)
	}
	require.EqualValues(t, n+n/5+100, calls.Load())
}

// A service that is gone altogether fails at once, and is there again when it is.
func TestAllGone(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{Options: reads()})
	n := w.serve("a", newServer("a", nil))
	require.Equal(t, "a", ask(t.Context(), t, w))
	n.kill()
	require.Eventually(t, func() bool {
		_, err := w.client().Unary(t.Context(), &pb.Message{})
		return matrix.AsError(err).Status == 503
	}, patience, time.Millisecond)
	w.serve("b", newServer("b", nil))
	require.Eventually(t, func() bool {
		m, err := w.client().Unary(t.Context(), &pb.Message{})
		return err == nil && string(m.GetPayload()) == "b"
	}, patience, time.Millisecond)
}

// A server that asks its clients to connect again, the only one of its kind, fails nothing.
func TestReconnecting(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{})
	w.options = []grpc.ServerOption{grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 20 * time.Millisecond})}
	n := w.serve("a", newServer("a", nil))
	l := w.load(8)
	require.Eventually(t, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.conns) > 10
	}, patience, time.Millisecond)
	l.check(t)
}

// When the registry forgets everything, calls go on.
func TestRegistryWiped(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{})
	nodes := three(w)
	l := w.load(4)
	l.more(t, 100)
	for _, n := range nodes {
		require.NoError(t, n.registry.Remove(t.Context(), n.record))
	}
	l.more(t, 1000)
	l.check(t)
}
