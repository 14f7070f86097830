// Package js_test runs matrix-js-sdk, unchanged, against topologies of test/harness. What its clients do stands once, in
// the scripts (*.test.js), which ask this package to kill and restart processes.
package js_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/test/addressbook"
	"hongyan/test/harness"
	"hongyan/test/openapi"
)

// patience ends a script that hangs.
const patience = 4 * time.Minute

// scripts are what the clients do, and the rounds of restarts that each goes through.
var scripts = []struct {
	name   string
	rounds []string
}{
	{"conversation", []string{"SIGTERM", "SIGKILL"}},
	{"encryption", []string{"SIGKILL"}},
	{"rooms", nil},
	{"people", nil},
	{"directory", nil},
	{"media", nil},
}

func TestMatrixJSSDK(t *testing.T) {
	if os.Getenv("TEST_JS") == "" {
		t.Skip(`"make test-js" runs the tests with matrix-js-sdk (TEST_JS=1)`)
	}
	book := identityServer(t)
	t.Setenv("HONGYAN_IDENTITY_GUEST_ACCESS", "on")
	t.Setenv("HONGYAN_GATEWAY_TURN_URIS", "turn:127.0.0.1:3478?transport=udp")
	t.Setenv("HONGYAN_GATEWAY_TURN_SHARED_SECRET", "a secret of the tests")
	for _, topology := range []harness.Topology{harness.One(false), harness.Three(harness.RegistryEtcd)} {
		t.Run(topology.Name, func(t *testing.T) {
			cluster := harness.StartCluster(t, topology)
			for _, script := range scripts {
				t.Run(script.name, func(t *testing.T) { run(t, cluster, book, script.name, script.rounds) })
			}
		})
	}
}

// identityServer starts one that the servers of this test trust.
func identityServer(t *testing.T) *addressbook.Server {
	book := addressbook.New(t)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	require.NoError(t, os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: book.Certificate().Raw}), 0o600))
	t.Setenv("SSL_CERT_FILE", roots)
	t.Setenv("HONGYAN_ROOM_IDENTITY_SERVERS", book.Name)
	return book
}

func run(t *testing.T, cluster *harness.Cluster, book *addressbook.Server, script string, rounds []string) {
	s := &steer{cluster: cluster, book: book, watch: openapi.NewWatch(t)}
	server := httptest.NewServer(s.routes())
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "--test-force-exit", "--test-timeout=120000", "--test-reporter=spec", script+".test.js")
	cmd.Env = append(os.Environ(), "TEST_URLS="+strings.Join(cluster.URLs(), ","), "TEST_STEER="+server.URL, "TEST_IDENTITY="+book.Name)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	require.NoError(t, s.endUnrest(), "what was killed comes back")
	require.NoError(t, err, "node --test")
	if len(cluster.Nodes) > 1 {
		require.Positive(t, s.kills, "processes were killed meanwhile")
	}
	t.Logf("%d processes were killed meanwhile, besides the rounds through all of them", s.kills)
	require.Equal(t, rounds, s.rounds, "it went through the rounds of restarts")
}

// steer lets a script disturb the cluster.
type steer struct {
	cluster *harness.Cluster
	book    *addressbook.Server
	watch   *openapi.Watch

	mu     sync.Mutex
	unrest *harness.Unrest
	kills  int
	rounds []string
}

func (s *steer) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /unrest", func(_ http.ResponseWriter, r *http.Request) { s.beginUnrest(r.Context()) })
	mux.HandleFunc("GET /unrest", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		round, err := s.unrest.Round()
		if err == nil {
			_, _ = fmt.Fprint(w, round)
		}
		tell(w, err)
	})
	mux.HandleFunc("DELETE /unrest", func(w http.ResponseWriter, _ *http.Request) { tell(w, s.endUnrest()) })
	mux.HandleFunc("POST /restart/{signal}", func(w http.ResponseWriter, r *http.Request) {
		tell(w, s.restart(r.Context(), r.PathValue("signal")))
	})
	mux.HandleFunc("POST /bind/{user}", func(w http.ResponseWriter, r *http.Request) {
		tell(w, s.book.Bind(r.Context(), s.cluster.URLs()[0], r.PathValue("user")))
	})
	mux.HandleFunc("POST /answer", func(w http.ResponseWriter, r *http.Request) {
		var a struct {
			Method, Path, Type, Body string
			Status                   int
		}
		err := json.NewDecoder(r.Body).Decode(&a)
		if err == nil {
			s.watch.See(a.Method, a.Path, a.Status, http.Header{"Content-Type": {a.Type}}, []byte(a.Body))
		}
		tell(w, err)
	})
	return mux
}

func tell(w http.ResponseWriter, err error) {
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprint(w, err)
	}
}

// beginUnrest kills processes behind the gateways from now on, if there are several of each: no client may notice.
func (s *steer) beginUnrest(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unrest = s.cluster.Unrest(context.WithoutCancel(ctx), "identity", "room", "keys", "sync", "media", "social")
}

// endUnrest returns when all of them run again. Without unrest it does nothing.
func (s *steer) endUnrest() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unrest == nil {
		return nil
	}
	kills, err := s.unrest.End()
	s.unrest = nil
	s.kills += kills
	return err
}

// restart ends every process, gateways too, one after the other with a signal, and starts it again.
func (s *steer) restart(ctx context.Context, signal string) error {
	sig, ok := map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGKILL": syscall.SIGKILL}[signal]
	if !ok {
		return fmt.Errorf("signal %q: want SIGTERM or SIGKILL", signal)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rounds = append(s.rounds, signal)
	return s.cluster.Roll(ctx, sig)
}
