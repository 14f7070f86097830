package backup_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/platform/obs/obstest"
	"hongyan/platform/sqldb"
	"hongyan/service/keys/internal/backup"
	"hongyan/test/openapi"
	"hongyan/test/pgtest"
)

func TestMain(m *testing.M) { obstest.Main(m) }

// databases make fresh databases, one of each kind.
var databases = map[string]func(testing.TB) string{
	"sqlite":   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "keys.db") },
	"postgres": pgtest.Start,
}

// onBoth runs a test on both databases.
func onBoth(t *testing.T, configure func(*backup.Config), test func(t *testing.T, g *rig)) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) { test(t, newRig(t, open(t), configure)) })
	}
}

// rig is key backup behind HTTP, for a caller who has been authenticated.
type rig struct {
	testing.TB
	url, user string
	// request is the gateway's key of what is asked; "" for none.
	request string
	cfg     backup.Config
	db      *sqldb.DB
	backup  *backup.Backup
	metrics prometheus.Registerer
}

func newRig(t testing.TB, databaseURL string, configure func(*backup.Config)) *rig {
	db, err := sqldb.Open(context.Background(), sqldb.Config{URL: databaseURL})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	g := &rig{TB: t, user: "@alice:hs", cfg: backup.Default(), db: db}
	if configure != nil {
		configure(&g.cfg)
	}
	return g.instance(t)
}

// instance returns the rig with another instance of the service on the same database.
func (g *rig) instance(t testing.TB) *rig {
	another := *g
	var err error
	require.NoError(t, backup.Migrate(t.Context(), g.db))
	another.backup, err = backup.New(g.cfg, g.db, g.metrics)
	require.NoError(t, err)
	handler, err := httpx.NewServer("keys", another.backup.Bindings(), httpx.Options{})
	require.NoError(t, err)
	checked := openapi.Handler(t, handler)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpx.SetCaller(r.Header, httpx.Caller{
			UserID: r.Header.Get("Test-User"), DeviceID: "D", IdempotencyKey: r.Header.Get("Test-Request"),
		})
		checked.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	another.url = server.URL
	return &another
}

// run runs the collector until the test ends.
func (g *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { g.backup.Run(ctx) })
	g.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// as returns the rig for another user.
func (g *rig) as(user string) *rig {
	other := *g
	other.user = user
	return &other
}

// call asks for something below /room_keys/ and returns the answer's status and body.
func (g *rig) call(method, path string, body any) (int, []byte) {
	status, text, err := g.try(method, path, body)
	require.NoError(g, err)
	return status, text
}

// try is call for goroutines.
func (g *rig) try(method, path string, body any) (int, []byte, error) {
	var raw []byte
	switch b := body.(type) {
	case nil:
	case string:
		raw = []byte(b)
	default:
		var err error
		if raw, err = json.Marshal(b); err != nil {
			return 0, nil, err
		}
	}
	req, err := http.NewRequest(method, g.url+"/_matrix/client/v3/room_keys/"+path, bytes.NewReader(raw))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Test-User", g.user)
	req.Header.Set("Test-Request", g.request)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, text, err
}

// ok is call for what must succeed.
func (g *rig) ok(method, path string, body any) object {
	g.Helper()
	status, text := g.call(method, path, body)
	require.Equal(g, http.StatusOK, status, "%s %s: %.500s", method, path, text)
	var answer object
	require.NoError(g, json.Unmarshal(text, &answer))
	return answer
}

// fails is call for what must be refused; it returns the error's body.
func (g *rig) fails(status int, code, method, path string, body any) object {
	g.Helper()
	got, text := g.call(method, path, body)
	require.Equal(g, status, got, "%s %s: %.500s", method, path, text)
	var answer object
	require.NoError(g, json.Unmarshal(text, &answer))
	require.Equal(g, code, answer["errcode"], "%s %s", method, path)
	require.NotEmpty(g, answer["error"])
	return answer
}

type object = map[string]any

const algorithm = "m.megolm_backup.v1.curve25519-aes-sha2"

// authData is as a client makes it.
func authData() object {
	return object{
		"public_key": "abcdefgABCDEFG0123456789abcdefgABCDEFG01234",
		"signatures": object{"@alice:hs": object{"ed25519:D": "c2lnbmF0dXJl"}},
	}
}

// create makes a backup and returns its version.
func (g *rig) create() string {
	g.Helper()
	version, ok := g.ok("POST", "version", object{"algorithm": algorithm, "auth_data": authData()})["version"].(string)
	require.True(g, ok)
	return version
}

// rank is what decides which of two keys stays.
type rank struct {
	Verified         bool
	Index, Forwarded int64
}

// key is a session's key; mark tells it from others of its rank.
func (r rank) key(mark string) object {
	return object{
		"first_message_index": r.Index, "forwarded_count": r.Forwarded, "is_verified": r.Verified,
		"session_data": object{"ephemeral": "eA", "ciphertext": mark, "mac": "bQ"},
	}
}

// state is the count and the etag of a version, as GET says.
func (g *rig) state(version string) (count int, etag string) {
	g.Helper()
	answer := g.ok("GET", "version/"+version, nil)
	return int(answer["count"].(float64)), answer["etag"].(string)
}

// at is a path below keys/ with its version.
func at(version string, ids ...string) string {
	path := "keys"
	for _, id := range ids {
		path += "/" + url.PathEscape(id)
	}
	return path + "?version=" + url.QueryEscape(version)
}

// rows counts what a table has.
func (g *rig) rows(table string) (n int) {
	require.NoError(g, g.db.QueryRow(g.Context(), fmt.Sprintf("SELECT count(*) FROM %s", table)).Scan(&n))
	return n
}
