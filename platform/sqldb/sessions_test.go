package sqldb_test

import (
	"crypto/rand"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/sqldb"
	"hongyan/test/pgtest"
)

// Who may not see what others do sees that they are there all the same, whatever their URLs call them.
func TestServersAreSeenByWhateverNameAndUser(t *testing.T) {
	address := pgtest.Start(t)
	admin := openWith(t, sqldb.Config{URL: address, Application: "test"})
	as := func(query string) string {
		t.Helper()
		role := "role_" + strings.ToLower(rand.Text())
		_, err := admin.Exec(t.Context(), "CREATE ROLE "+role+" LOGIN")
		require.NoError(t, err)
		u, err := url.Parse(address)
		require.NoError(t, err)
		u.User = url.User(role)
		return u.String() + query
	}
	copier := openWith(t, sqldb.Config{URL: as("&application_name=mine"), Application: "hongyan-copy"})
	for _, query := range []string{
		"", "&application_name=mine", "&application_name=hongyan", "&application_name=hongyan-copy",
		"&application_name=" + strings.Repeat("x", 100), "&options=-c%20application_name%3Dmine",
	} {
		require.Zero(t, others(t, copier))
		server := openWith(t, sqldb.Config{URL: as(query)})
		require.Positive(t, others(t, copier), "%q", query)
		require.NoError(t, server.Close())
		require.Eventually(t, func() bool { return others(t, copier) == 0 }, 30*time.Second, 10*time.Millisecond, "%q", query)
	}
	other, err := url.Parse(address)
	require.NoError(t, err)
	other.Path = "/postgres"
	openWith(t, sqldb.Config{URL: other.String()})
	openWith(t, sqldb.Config{URL: as(""), Application: "hongyanology"})
	require.Zero(t, others(t, copier), "of another database and another program")
}

func others(t *testing.T, db *sqldb.DB) int {
	t.Helper()
	n, err := db.Others(t.Context())
	require.NoError(t, err)
	return n
}
