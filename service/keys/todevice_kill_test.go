package keys_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"google.golang.org/grpc"

	identitypb "hongyan/api/identity"
	keyspb "hongyan/api/keys"
	logpb "hongyan/api/log"
	"hongyan/platform/bus/memory"
	"hongyan/platform/rpc"
	"hongyan/platform/sqldb"
	"hongyan/service/keys"
)

// childURL is the environment of a process that serves until it is killed: its database.
const childURL = "HONGYAN_TEST_KEYS_URL"

// twoEach is an identity service in which each user has two devices, and nothing ever happens.
type twoEach struct {
	identitypb.IdentityClient
	logpb.LogClient
}

// Devices implements identitypb.IdentityClient.
func (twoEach) Devices(_ context.Context, req *identitypb.DevicesRequest, _ ...grpc.CallOption) (*identitypb.DevicesResponse, error) {
	resp := &identitypb.DevicesResponse{}
	for _, u := range req.GetUsers() {
		for _, id := range []string{"D0", "D1"} {
			resp.Devices = append(resp.Devices, &identitypb.Device{UserId: u.GetUserId(), DeviceId: id, CreatedMs: 1})
		}
	}
	return resp, nil
}

// Heads implements logpb.LogClient.
func (twoEach) Heads(context.Context, *logpb.HeadsRequest, ...grpc.CallOption) (*logpb.HeadsResponse, error) {
	return &logpb.HeadsResponse{Epoch: 1, Shard: make([]int64, 4)}, nil
}

// child serves the routes on a port that it writes to the standard output.
func child(url string) error {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, sqldb.Config{URL: url})
	if err != nil {
		return err
	}
	conns, _ := rpc.NewLocal(rpc.Options{})
	s, err := keys.New(keys.Default(), keys.Deps{
		DB: db, Bus: memory.New(64), Identity: twoEach{}, IdentityLog: twoEach{}, Keys: keyspb.NewKeysClient(conns.Conn("keys")),
		Room: &room{}, Server: "hs",
	})
	if err != nil {
		return err
	}
	if err := s.Prepare(ctx); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(os.Stdout, "http://%s\n", l.Addr())
	go func() { _ = http.Serve(l, s.Handler()) }()
	return s.Run(ctx)
}

// startChild starts a process and returns where it serves, and what kills it.
func startChild(t testing.TB, url string) (base string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childURL+"="+url)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	base, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(base), kill
}

// repeater sends numbered messages, and repeats each until it is acknowledged, through whatever process there is.
type repeater struct {
	d device
	// acknowledged is how many were.
	acknowledged atomic.Int64
}

// send sends until the process is gone.
func (r *repeater) send(base string, to []string) {
	for {
		n := r.acknowledged.Load()
		m := mail{}
		for _, user := range to {
			m[userID(user)] = map[string]any{"*": map[string]any{"n": n}}
		}
		if status, _, err := tryToDevice(base, r.d, "a", fmt.Sprint(n), m); err != nil || status != 200 {
			return
		}
		r.acknowledged.Add(1)
	}
}

// TestToDeviceOutlivesKilledProcesses kills the process that takes messages again and again.
func TestToDeviceOutlivesKilledProcesses(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			random := rand.New(rand.NewPCG(1, 2))
			users := []string{"u0", "u1", "u2"}
			senders := make([]*repeater, 6)
			for i := range senders {
				senders[i] = &repeater{d: device{fmt.Sprint("s", i), "S"}}
			}
			got := map[device]map[string]int64{}
			for range 4 {
				base, kill := startChild(t, url)
				var sending sync.WaitGroup
				before := senders[0].acknowledged.Load()
				for _, r := range senders {
					sending.Go(func() { r.send(base, users) })
				}
				enough := before + 3 + random.Int64N(20)
				await(t, "messages are sent", func() bool { return senders[0].acknowledged.Load() >= enough })
				kill()
				sending.Wait()
				http.DefaultClient.CloseIdleConnections()
				fetch(t, url, users, got)
			}
			for d, bySender := range got {
				for _, r := range senders {
					acknowledged := r.acknowledged.Load()
					n := bySender[userID(r.d.user)]
					require.GreaterOrEqual(t, n, acknowledged, "%v of %v", d, r.d)
					require.LessOrEqual(t, n, acknowledged+1, "%v of %v", d, r.d)
				}
			}
			require.Len(t, got, 2*len(users))
		})
	}
}

// fetch reads and acknowledges what waits for devices, of which each sender's must be in order and without repeats.
func fetch(t *testing.T, url string, users []string, got map[device]map[string]int64) {
	g := newRig(t, url, nil, keys.Default())
	defer g.close()
	for _, user := range users {
		for _, id := range []string{"D0", "D1"} {
			d := device{user, id}
			if got[d] == nil {
				got[d] = map[string]int64{}
			}
			for _, m := range g.waiting(d, 0, 0) {
				sender := gjson.GetBytes(m.GetMessage(), "sender").String()
				require.Equal(t, got[d][sender], gjson.GetBytes(m.GetMessage(), "content.n").Int(), "%v of %s", d, sender)
				got[d][sender]++
				g.acknowledge(d, m.GetPosition())
			}
		}
	}
}
