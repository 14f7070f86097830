package app_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/app"
	"hongyan/app/transfer"
	"hongyan/platform/sqldb"
	"hongyan/test/pgtest"
)

// move is a migration from PostgreSQL to a data directory.
type move struct {
	t        *testing.T
	from, to app.Config
	database string
}

// newMove makes a deployment with the user alice on it; query is added to the database's URL.
func newMove(t *testing.T, query string) (m *move, token string) {
	t.Helper()
	m = &move{t: t, database: pgtest.Start(t) + query}
	s := m.serve()
	token = s.register("alice")
	s.stop()
	m.from, m.to = m.config(map[string]string{"database": m.database}), m.config(nil)
	return m, token
}

func (m *move) config(flags map[string]string) app.Config {
	m.t.Helper()
	cfg, err := app.Load(app.Source{Flags: merged(map[string]string{"data-dir": m.t.TempDir()}, flags)})
	require.NoError(m.t, err)
	return cfg
}

// serve runs a server on the source.
func (m *move) serve() *server {
	m.t.Helper()
	return start(m.t, m.t.TempDir(), map[string]string{"database": m.database})
}

// refused is why a server does not start on the source.
func (m *move) refused() error {
	m.t.Helper()
	_, err := app.New(m.t.Context(), m.config(map[string]string{"database": m.database, "listen": "127.0.0.1:0"}), app.Options{})
	return err
}

// run migrates. step is called at each step.
func (m *move) run(ctx context.Context, step func(transfer.Step)) error {
	_, err := app.Migrate(ctx, m.from, m.to, app.CopyOptions{Progress: step})
	return err
}

// killed leaves the source as a run does that is killed while it copies.
func (m *move) killed() {
	m.t.Helper()
	for _, service := range []string{"identity", "room", "keys", "sync", "media", "social"} {
		db, err := sqldb.Open(m.t.Context(), sqldb.Config{URL: m.database + "&search_path=" + service, Application: "test"})
		require.NoError(m.t, err)
		require.NoError(m.t, transfer.MarkMoving(m.t.Context(), db, "another place"))
		require.NoError(m.t, db.Close())
	}
}

// at calls f at the first step that does this.
func at(doing string, f func()) func(transfer.Step) {
	return func(s transfer.Step) {
		if f != nil && s.Doing == doing {
			f()
			f = nil
		}
	}
}

// A server that is told another name for its sessions is seen, and one that starts during the copy is refused.
func TestNoServerRunsOnWhatIsMoved(t *testing.T) {
	m, token := newMove(t, "&application_name=mine")
	s := m.serve()
	require.ErrorContains(t, m.run(t.Context(), nil), "a server is connected to it")
	s.stop()

	began := false
	require.NoError(t, m.run(t.Context(), at("fill", func() {
		began = true
		require.ErrorContains(t, m.refused(), "it is being moved to data directory "+m.to.DataDir)
	})))
	require.True(t, began)
	require.ErrorContains(t, m.refused(), "it was moved to data directory "+m.to.DataDir)
	s = start(t, m.to.DataDir, nil)
	status, answer := s.call("GET", "/_matrix/client/v3/account/whoami", token, "")
	require.Equal(t, 200, status, answer)
}

// A migration that fails gives the source back, and what comes there until the next run is not lost.
func TestAMigrationThatFailsGivesTheSourceBack(t *testing.T) {
	interrupt := func(m *move, doing string) error {
		ctx, cancel := context.WithCancel(m.t.Context())
		defer cancel()
		return m.run(ctx, at(doing, cancel))
	}
	failures := map[string]func(m *move) error{
		"interrupted while it copies": func(m *move) error { return interrupt(m, "fill") },
		"a server was there all the same": func(m *move) error {
			var server *sqldb.DB
			err := m.run(m.t.Context(), at("check", func() {
				var err error
				server, err = sqldb.Open(m.t.Context(), sqldb.Config{URL: m.database})
				require.NoError(m.t, err)
			}))
			require.ErrorContains(m.t, err, "a server is connected to it")
			return errors.Join(err, server.Close())
		},
		"killed, repeated and interrupted": func(m *move) error {
			m.killed()
			require.ErrorContains(m.t, m.refused(), "it is being moved to another place")
			return interrupt(m, "check")
		},
	}
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			m, _ := newMove(t, "")
			require.Error(t, fail(m))
			s := m.serve()
			token := s.register("bob")
			s.stop()
			m.killed()
			require.NoError(t, m.run(t.Context(), nil))
			s = start(t, m.to.DataDir, nil)
			status, answer := s.call("GET", "/_matrix/client/v3/account/whoami", token, "")
			require.Equal(t, 200, status, answer)
		})
	}
}
