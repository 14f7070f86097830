package identity_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/sqldb"
	"hongyan/test/pgtest"
)

// Connections to the database are cut all the time. What was answered 200 is true, everything else is 503 and may be
// tried again, and nobody is left half made.
func TestConnectionsCut(t *testing.T) {
	url := pgtest.Start(t)
	g := newRig(t, url, nil)
	killer, err := sqldb.Open(context.Background(), sqldb.Config{URL: url, MaxConns: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, killer.Close()) }()
	// One cut for each of the first answers, while other requests are under way.
	answered := make(chan struct{})
	var cutting sync.WaitGroup
	cutting.Go(func() {
		cuts := 0
		for range answered {
			if cuts++; cuts > 60 {
				continue
			}
			var n int64
			err := killer.QueryRow(context.Background(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid()`).Scan(&n)
			if err != nil {
				t.Errorf("cut connections: %v", err)
			}
		}
	})

	const n = 30
	tokens := make([]string, n)
	var clients sync.WaitGroup
	for i := range n {
		clients.Go(func() {
			body := obj{"username": fmt.Sprintf("user%d", i), "password": secret, "auth": dummy}
			for {
				a := g.post("", v3+"/register", body)
				answered <- struct{}{}
				switch a.status {
				case http.StatusOK:
					tokens[i] = a.text("access_token")
					return
				case http.StatusBadRequest: // an earlier attempt was committed, and its answer was lost
					if a.body["errcode"] == "M_USER_IN_USE" {
						return
					}
				}
				if a.status != http.StatusServiceUnavailable {
					t.Errorf("answered %d: %s", a.status, a.raw)
					return
				}
			}
		})
	}
	clients.Wait()
	close(answered)
	cutting.Wait()
	// Each connection that is left fails once.
	for g.get("", v3+"/register/available?username=free").status != http.StatusOK {
	}
	for i, token := range tokens {
		if token != "" {
			g.works(token)
		}
		u := fmt.Sprintf("@user%d:hs", i)
		g.login(u, obj{"device_id": "AFTER"}).ok()
		require.Len(t, g.events(u), 3, "registered, its device, this device")
		require.Equal(t, obj{"displayname": fmt.Sprintf("user%d", i)}, g.get("", v3+"/profile/"+u).ok().body)
	}
}
