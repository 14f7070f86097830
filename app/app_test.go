package app_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	identitypb "hongyan/api/identity"
	"hongyan/app"
	"hongyan/matrix/event"
	"hongyan/platform/obs"
	"hongyan/platform/obs/obstest"
	"hongyan/platform/sqldb"
	"hongyan/test/pgtest"
)

func TestMain(m *testing.M) { obstest.Main(m) }

// server is a server in this process.
type server struct {
	t    *testing.T
	app  *app.App
	url  string
	dir  string
	stop func()
}

// start runs a server until stop is called or the test ends.
func start(t *testing.T, dir string, flags map[string]string) *server {
	t.Helper()
	metrics := prometheus.NewRegistry()
	return startWith(t, metrics, metrics, merged(map[string]string{"data-dir": dir}, flags))
}

// merged is base with what overrides it.
func merged(base, over map[string]string) map[string]string {
	all := maps.Clone(base)
	maps.Copy(all, over)
	return all
}

// startWith is start with a registry for the metrics.
func startWith(t *testing.T, metrics prometheus.Registerer, gatherer prometheus.Gatherer, flags map[string]string) *server {
	t.Helper()
	require.NoError(t, obs.Setup(obs.LogConfig{Level: "off", Format: "plain"}, io.Discard))
	all := map[string]string{
		"listen": "127.0.0.1:0", "rate-limits": "off",
		"identity-passwords-memory-kib": "64", "identity-passwords-iterations": "1",
	}
	for k, v := range flags {
		all[k] = v
	}
	cfg, err := app.Load(app.Source{Flags: all})
	require.NoError(t, err)
	a, err := app.New(t.Context(), cfg, app.Options{Version: "test", Metrics: metrics, Gatherer: gatherer})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	select {
	case <-a.Ready():
	case err := <-done:
		cancel()
		require.NoError(t, err)
	}
	stopped := false
	s := &server{t: t, app: a, dir: cfg.DataDir}
	if at := a.Addr(); at != nil {
		s.url = "http://" + at.String()
	}
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(t, <-done)
	}
	t.Cleanup(s.stop)
	return s
}

// call sends a request and returns the status and the body.
func (s *server) call(method, path, token, body string) (int, map[string]any) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	var answer map[string]any
	require.NoError(s.t, json.Unmarshal(raw, &answer), string(raw))
	return resp.StatusCode, answer
}

// text is an answer as JSON.
func text(t *testing.T, answer map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(answer)
	require.NoError(t, err)
	return string(raw)
}

func (s *server) register(name string) (token string) {
	s.t.Helper()
	status, answer := s.call("POST", "/_matrix/client/v3/register", "",
		`{"username":"`+name+`","password":"correct horse","auth":{"type":"m.login.dummy"}}`)
	require.Equal(s.t, 200, status, answer)
	return answer["access_token"].(string)
}

func TestNothingIsLostByARestart(t *testing.T) {
	databases := map[string]func(t *testing.T) map[string]string{
		"sqlite":                      func(*testing.T) map[string]string { return nil },
		"postgres, a schema each":     func(t *testing.T) map[string]string { return map[string]string{"database": pgtest.Start(t)} },
		"postgres and SQLite, by map": func(t *testing.T) map[string]string { return map[string]string{"databases": "room=" + pgtest.Start(t)} },
	}
	for name, flags := range databases {
		t.Run(name, func(t *testing.T) {
			dir, database := t.TempDir(), flags(t)
			s := start(t, dir, database)
			token := s.register("alice")
			status, room := s.call("POST", "/_matrix/client/v3/createRoom", token, `{"name":"Wild geese"}`)
			require.Equal(t, 200, status, room)
			s.stop()

			s = start(t, dir, database)
			status, name := s.call("GET", "/_matrix/client/v3/rooms/"+room["room_id"].(string)+"/state/m.room.name", token, "")
			require.Equal(t, 200, status, name)
			require.Equal(t, "Wild geese", name["name"])
			require.NoFileExists(t, filepath.Join(dir, "signing.key"), "the key is in room's database")
		})
	}
}

// However a service's database is named, its tables are where they were; and tables that are where earlier versions made them
// are not taken for missing.
func TestEachWayToNameADatabaseFindsTheSame(t *testing.T) {
	url := pgtest.Start(t)
	dir := t.TempDir()
	s := start(t, dir, map[string]string{"database": url})
	token := s.register("alice")
	s.stop()
	all := "identity=" + url + ",room=" + url + ",sync=" + url + ",keys=" + url + ",social=" + url
	for name, flags := range map[string]map[string]string{"by map": {"databases": all}, "by placeholder": {"database": url + "&application_name={service}"}} {
		s = start(t, dir, flags)
		status, answer := s.call("GET", "/_matrix/client/v3/account/whoami", token, "")
		require.Equal(t, 200, status, "%s: %v", name, answer)
		s.stop()
	}

	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: url})
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), "ALTER TABLE room.room_log_migration SET SCHEMA public")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	cfg, err := app.Load(app.Source{Flags: map[string]string{"data-dir": dir, "databases": all}})
	require.NoError(t, err)
	_, err = app.New(t.Context(), cfg, app.Options{Metrics: prometheus.NewRegistry()})
	require.ErrorContains(t, err, "database of room: its tables are in the schema public")
}

func TestTheDataDirectoryIsPrivateAndOneServers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on", "start")
	s := start(t, dir, nil)
	for name, mode := range map[string]os.FileMode{"": 0o700, "room.db": 0o600, "lock": 0o600, app.AdminSocket: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), name)
	}
	cfg, err := app.Load(app.Source{Flags: map[string]string{"data-dir": dir}})
	require.NoError(t, err)
	_, err = app.New(t.Context(), cfg, app.Options{})
	require.ErrorContains(t, err, "is in use by another server (process ")
	s.stop()
	require.NoFileExists(t, filepath.Join(dir, app.AdminSocket))
	start(t, dir, nil)
}

func TestABadSigningKeyIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "signing.key")
	require.NoError(t, os.WriteFile(name, []byte("nonsense"), 0o600))
	cfg, err := app.Load(app.Source{Flags: map[string]string{"data-dir": dir}})
	require.NoError(t, err)
	_, err = app.New(t.Context(), cfg, app.Options{})
	require.ErrorContains(t, err, name)
	require.NotContains(t, err.Error(), "nonsense")
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, "nonsense", string(raw))
}

func TestTheSigningKeyOfAnEarlierVersionIsKept(t *testing.T) {
	dir := t.TempDir()
	key, err := event.GenerateSigningKey(rand.Reader)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "signing.key"), key.Marshal(), 0o600))
	start(t, dir, nil).stop()
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: "sqlite:" + filepath.Join(dir, "room.db")})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var kept string
	require.NoError(t, db.QueryRow(t.Context(), `SELECT secret FROM signing_key`).Scan(&kept))
	require.Equal(t, string(key.Marshal()), kept)
}

func TestATakenPortStopsTheStart(t *testing.T) {
	first := start(t, t.TempDir(), nil)
	dir := t.TempDir()
	cfg, err := app.Load(app.Source{Flags: map[string]string{"data-dir": dir, "listen": strings.TrimPrefix(first.url, "http://")}})
	require.NoError(t, err)
	metrics := prometheus.NewRegistry()
	a, err := app.New(t.Context(), cfg, app.Options{Metrics: metrics, Gatherer: metrics})
	require.NoError(t, err)
	require.ErrorContains(t, a.Run(t.Context()), "address already in use")
	start(t, dir, nil) // everything was given back
}

func TestAdministrationOverTheSocket(t *testing.T) {
	s := start(t, t.TempDir(), map[string]string{"registration": "closed"})
	admin, err := app.DialAdmin(s.dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, admin.Close()) }()
	made, err := admin.AddUser(t.Context(), &identitypb.AddUserRequest{Name: "alice", Password: "correct horse", Admin: true})
	require.NoError(t, err)
	require.Equal(t, "@alice:localhost", made.GetUserId())
	status, answer := s.call("POST", "/_matrix/client/v3/login", "",
		`{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"correct horse"}`)
	require.Equal(t, 200, status, answer)
	_, err = admin.SetPassword(t.Context(), &identitypb.SetPasswordRequest{Name: "nobody", Password: "x"})
	require.ErrorContains(t, err, "M_NOT_FOUND")
	status, answer = s.call("POST", "/_matrix/client/v3/register", "", `{"username":"bob","password":"b"}`)
	require.Equal(t, 403, status)
	require.Equal(t, "M_FORBIDDEN", answer["errcode"])

	_, err = app.DialAdmin(t.TempDir())
	require.ErrorContains(t, err, "no server runs on the data directory")
}

// TestALogOutEndsATokenAtOnce goes from the route of identity over the RPC to the gateway and back.
func TestALogOutEndsATokenAtOnce(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	for range 5 {
		status, login := s.call("POST", "/_matrix/client/v3/login", "",
			`{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"correct horse"}`)
		if status == 403 {
			s.register("alice")
			continue
		}
		token := login["access_token"].(string)
		status, _ = s.call("GET", "/_matrix/client/v3/account/whoami", token, "")
		require.Equal(t, 200, status)
		status, _ = s.call("POST", "/_matrix/client/v3/logout", token, "")
		require.Equal(t, 200, status)
		status, answer := s.call("GET", "/_matrix/client/v3/account/whoami", token, "")
		require.Equal(t, 401, status)
		require.Equal(t, "M_UNKNOWN_TOKEN", answer["errcode"])
	}
}

// TestConnectionsToPostgresAreBounded counts them while many requests wait, on the fewest that a server may have.
func TestConnectionsToPostgresAreBounded(t *testing.T) {
	database := pgtest.Start(t)
	s := start(t, t.TempDir(), map[string]string{"database": database, "database-max-conns": "7"})
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: database, MaxConns: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	token := s.register("alice")
	var requests sync.WaitGroup
	for range 40 {
		requests.Go(func() {
			for _, path := range []string{"/createRoom", "/user/@alice:localhost/filter", "/keys/upload"} {
				if status, answer := s.call("POST", "/_matrix/client/v3"+path, token, `{"one_time_keys":{"a:b":"c"}}`); status != 200 {
					t.Errorf("%s: %d %v", path, status, answer)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		requests.Wait()
	}()
	for most := 0; ; {
		var n int
		require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`).Scan(&n))
		most = max(most, n)
		require.LessOrEqual(t, n, 6*7, "connections of six services")
		select {
		case <-done:
			require.Greater(t, most, 3, "it was counted while they worked")
			return
		default:
		}
	}
}
