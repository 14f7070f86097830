package keys_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	roompb "hongyan/api/room"
	"hongyan/matrix/synctoken"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/platform/sqldb"
	"hongyan/service/keys"
)

// keysChanges asks what has changed for a user since a position in the device-list log; it may be called on any goroutine.
func (g *rig) keysChanges(user string, after int64) (changed, left []string, err error) {
	var epochs [2]uint64
	for i, log := range []string{"keys", "device_list"} {
		opened, err := eventlog.Open(context.Background(), g.db, eventlog.Schema{Name: log, Shards: []int{0, 1}[i]}, eventlog.Config{})
		if err != nil {
			return nil, nil, err
		}
		epochs[i] = opened.Epoch()
	}
	epoch := synctoken.OfDevice(synctoken.KeysEpoch(epochs[0], epochs[1]), "A")
	token := synctoken.Token{KeysEpoch: epoch, DeviceLists: after}.String()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet,
		g.url+"/_matrix/client/v3/keys/changes?"+url.Values{"from": {token}, "to": {token}}.Encode(), nil)
	if err != nil {
		return nil, nil, err
	}
	httpx.SetCaller(r.Header, httpx.Caller{UserID: userID(user), DeviceID: "A"})
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var body struct{ Changed, Left []string }
	if err = json.NewDecoder(resp.Body).Decode(&body); err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return body.Changed, body.Left, err
}

// listed says in the log that device lists of users have changed, after what it has, and returns where its end was.
func (g *rig) listed(users ...string) (before int64) {
	g.t.Helper()
	require.NoError(g.t, g.db.QueryRow(g.t.Context(), `SELECT head FROM device_list_shard`).Scan(&before))
	require.NoError(g.t, g.db.Write(g.t.Context(), func(ctx context.Context, tx sqldb.Tx) error {
		for i, u := range users {
			if _, err := tx.Exec(ctx, `INSERT INTO device_list_stream (name, shard, seq) VALUES ($1, 0, 0)`, u); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `INSERT INTO device_list_latest (stream, key, kind, body, shard, position)
				SELECT stream, 'u', 1, $2, 0, $3 FROM device_list_stream WHERE name = $1`, u, []byte{}, before+1+int64(i)); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `UPDATE device_list_shard SET head = head + $1`, len(users))
		return err
	}))
	return before
}

func TestChangesAskForFewWhileFewHaveChanged(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		var users []string
		for i := range 1001 {
			users = append(users, fmt.Sprintf("@user%04d:hs", i))
		}
		before := g.listed(users...)
		var asked *roompb.PeersRequest
		shared := []string{"@idle:hs", users[3], users[998]}
		g.room.set(func(req *roompb.PeersRequest) *roompb.PeersResponse {
			asked = req
			resp := &roompb.PeersResponse{Began: []string{"@began:hs", users[3]}, Ended: []string{"@ended:hs"}}
			for _, u := range shared {
				if req.GetAll() || slices.Contains(req.GetUsers(), u) {
					resp.Shared = append(resp.Shared, u)
				}
			}
			return resp
		})
		want := []string{"@began:hs", users[3], users[998], users[1000]}
		for after, all := range map[int64]bool{before: true, before + 1: false} {
			changed, left, err := g.keysChanges("user1000", after)
			require.NoError(t, err)
			require.Equal(t, want, changed, "who shares a room, began to, or is the user")
			require.Equal(t, []string{"@ended:hs"}, left)
			require.Equal(t, all, asked.GetAll(), "1001 are too many to ask for")
			require.Len(t, asked.GetUsers(), map[bool]int{true: 0, false: 1000}[all])
		}
		changed, _, err := g.keysChanges("user1000", before+1001)
		require.NoError(t, err)
		require.Equal(t, []string{"@began:hs", users[3]}, changed)
		require.False(t, asked.GetAll())
		require.Empty(t, asked.GetUsers())
	})
}

// TestChangesAreReadFewAtOnce asks for changes many times at once, while the room service is slow.
func TestChangesAreReadFewAtOnce(t *testing.T) {
	cfg := keys.Default()
	cfg.LargeQueries = 2
	g := newRig(t, databases["sqlite"](t), nil, cfg)
	var mu sync.Mutex
	asking, most := 0, 0
	third := make(chan struct{})
	count := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		asking += n
		if asking == 3 && most < 3 {
			close(third)
		}
		most = max(most, asking)
	}
	g.room.set(func(*roompb.PeersRequest) *roompb.PeersResponse {
		count(1)
		defer count(-1)
		select {
		case <-third:
		case <-time.After(50 * time.Millisecond):
		}
		return &roompb.PeersResponse{}
	})
	answers := make(chan error, 8)
	for range cap(answers) {
		go func() {
			_, _, err := g.keysChanges("alice", 0)
			answers <- err
		}()
	}
	for range cap(answers) {
		require.NoError(t, <-answers)
	}
	require.LessOrEqual(t, most, 2)
}
