package fault_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"hongyan/bench"
	"hongyan/test/harness"
	"hongyan/test/pgtest"
)

// TestABackupUnderLoadIsRestored backs a server up that is busy, on each database, and restores it to each. What
// was acknowledged before the backup began is there, and clients go on.
func TestABackupUnderLoadIsRestored(t *testing.T) {
	harness.OnEachDatabase(t, func(t *testing.T, options harness.Options) {
		server := harness.Start(t, options)
		alice, bob := newClient(t, server, "alice"), newClient(t, server, "bob")
		rooms := []string{converse(t, alice, bob, "one"), converse(t, alice, bob, "two")}
		require.NoError(t, alice.JSON(t.Context(), "PUT", "/_matrix/client/v3/user/"+alice.UserID+"/account_data/m.x",
			map[string]any{"kept": true}, nil))
		since := bob.poll("").Get("next_batch").String()
		load := startLoad(t, server)
		before := load.accepted()
		archive := filepath.Join(t.TempDir(), "backup.tar.zst")
		place := append([]string{"--data-dir", server.Dir}, options.Args...)
		out, err := server.Run(t.Context(), "", append([]string{"backup", archive}, place...)...)
		require.NoError(t, err, out)
		t.Log(out)
		info, err := os.Stat(archive)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
		later := alice.say(rooms[0], "later", "after the backup")
		require.NotEmpty(t, bob.poll(since).Get("next_batch").String())
		state := alice.state(rooms[0])
		load.end()
		server.Stop(syscall.SIGTERM)
		out, err = server.Run(t.Context(), "", append([]string{"restore", archive}, place...)...)
		require.Error(t, err)
		require.Contains(t, out, "is in use already: this wants an empty one")

		for name, to := range map[string][]string{"sqlite": nil, "postgres": {"--database", pgtest.Start(t)}} {
			t.Run("to "+name, func(t *testing.T) {
				server.Stop(syscall.SIGTERM)
				require.NoError(t, os.RemoveAll(server.Dir))
				out, err := server.Run(t.Context(), "", append([]string{"restore", archive, "--data-dir", server.Dir}, to...)...)
				require.NoError(t, err, out)
				t.Log(out)
				server.Move(server.Dir, to...)
				require.NoError(t, server.Up(t.Context()))
				requireRestored(t, server, before, alice, bob, rooms, since, state)
				require.NotContains(t, textsOf(t, alice, rooms[0]), "after the backup", later)
			})
		}
	})
}

// converse makes a room of two with a few messages.
func converse(t *testing.T, alice, bob *client, name string) string {
	t.Helper()
	roomID, err := alice.CreateRoom(t.Context(), map[string]any{"preset": "public_chat", "name": name})
	require.NoError(t, err)
	require.NoError(t, bob.Join(t.Context(), roomID))
	for _, text := range []string{"first", "second", "third"} {
		alice.say(roomID, name+text, text)
	}
	return roomID
}

func requireRestored(
	t *testing.T, server *harness.Server, before []bench.Message, alice, bob *client, rooms []string, since string, state map[string]string,
) {
	t.Helper()
	alice.reconnect()
	bob.reconnect()
	before = afresh(t, server, before)
	require.NoError(t, checkHistory(t.Context(), before))
	require.NoError(t, checkIdempotent(t.Context(), before))
	require.Equal(t, state, alice.state(rooms[0]))
	require.Equal(t, []string{"first", "second", "third"}, textsOf(t, alice, rooms[1]))

	// A token of the time before: all rooms anew, and no error.
	answer := bob.poll(since)
	require.Equal(t, map[string]bool{rooms[0]: true, rooms[1]: true}, joined(answer))
	require.NotEmpty(t, timeline(answer, rooms[1]))
	next := answer.Get("next_batch").String()
	require.Empty(t, joined(bob.poll(next)), "then only news")
	alice.say(rooms[1], "new", "after the restore")
	texts, _ := bob.until(next, rooms[1], 1)
	require.Equal(t, []string{"after the restore"}, texts)

	// Whoever logs in anew, does.
	var login struct {
		Token string `json:"access_token"`
	}
	require.NoError(t, bench.NewClient(bench.NewTransport(2), server.URL).JSON(t.Context(), "POST", "/_matrix/client/v3/login", map[string]any{
		"type": "m.login.password", "password": "secret of alice", "identifier": map[string]any{"type": "m.id.user", "user": "alice"},
	}, &login))
	require.NotEmpty(t, login.Token)
	var kept map[string]any
	require.NoError(t, alice.JSON(t.Context(), "GET", "/_matrix/client/v3/user/"+alice.UserID+"/account_data/m.x", nil, &kept))
	require.Equal(t, map[string]any{"kept": true}, kept)

	// Followers go on: a new name reaches the rooms.
	require.NoError(t, alice.JSON(t.Context(), "PUT", "/_matrix/client/v3/profile/"+alice.UserID+"/displayname",
		map[string]any{"displayname": "Alice " + rooms[0]}, nil))
	require.Eventually(t, func() bool {
		var member map[string]any
		err := alice.JSON(t.Context(), "GET", "/_matrix/client/v3/rooms/"+rooms[1]+"/state/m.room.member/"+alice.UserID, nil, &member)
		return err == nil && member["displayname"] == "Alice "+rooms[0]
	}, 30*time.Second, 20*time.Millisecond)
}

// textsOf are the texts of all messages of a room, in order.
func textsOf(t *testing.T, c *client, roomID string) (texts []string) {
	t.Helper()
	require.NoError(t, c.Messages(t.Context(), roomID, "", "f", 500, func(body []byte) error {
		for _, e := range gjson.ParseBytes(body).Get("chunk").Array() {
			if e.Get("type").String() == "m.room.message" {
				texts = append(texts, e.Get("content.body").String())
			}
		}
		return nil
	}))
	return texts
}
