package app_test

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"hongyan/test/pgtest"
)

// The script that makes roles and databases makes each its own, as often as it runs: who has the credentials of one gets
// into no other.
func TestRolesOfCompose(t *testing.T) {
	superuser := pgtest.Start(t)
	server, err := url.Parse(superuser)
	require.NoError(t, err)
	variables := assignments(t, "compose/cluster.env.example")
	postgres := documents(t, "compose")["cluster.yaml"][0]["services"].(map[string]any)["postgres"].(map[string]any)
	list := interpolated(t, postgres["environment"].(map[string]any)["DATABASES"].(string), variables)
	services := strings.Fields(list)
	require.NotEmpty(t, services)
	for range 2 {
		script := exec.CommandContext(t.Context(), "sh", "../deploy/compose/databases.sh")
		script.Env = append(os.Environ(), "DATABASES="+list, "PGHOST="+server.Hostname(), "PGPORT="+server.Port())
		out, err := script.CombinedOutput()
		require.NoError(t, err, string(out))
		require.NotContains(t, string(out), filled)
	}
	connect := func(role, database string) (*pgx.Conn, error) {
		u := *server
		u.User, u.Path = url.UserPassword(role, filled), "/"+database
		return pgx.Connect(t.Context(), u.String())
	}
	for _, one := range services {
		role, password, _ := strings.Cut(one, "=")
		require.Equal(t, filled, password)
		role = "hongyan_" + role
		conn, err := connect(role, role)
		require.NoError(t, err)
		for _, statement := range []string{"CREATE SCHEMA room", "CREATE TABLE room.t (n int)", "DROP SCHEMA room CASCADE"} {
			_, err = conn.Exec(t.Context(), statement)
			require.NoError(t, err, statement)
		}
		require.NoError(t, conn.Close(context.WithoutCancel(t.Context())))
		for _, other := range services {
			other, _, _ = strings.Cut(other, "=")
			if other = "hongyan_" + other; other != role {
				_, err := connect(role, other)
				require.ErrorContains(t, err, "permission denied", "%s gets into %s", role, other)
			}
		}
	}
	conn, err := pgx.Connect(t.Context(), superuser)
	require.NoError(t, err)
	var secret int
	require.NoError(t, conn.QueryRow(t.Context(),
		"SELECT count(*) FROM pg_authid WHERE rolname LIKE 'hongyan_%' AND rolpassword IS NOT NULL AND NOT rolsuper").Scan(&secret))
	require.Equal(t, len(services), secret)
	require.NoError(t, conn.Close(context.WithoutCancel(t.Context())))
}
