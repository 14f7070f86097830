package fault_test

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/test/harness"
	"hongyan/test/pgtest"
)

// TestClientsDoNotNoticeAMigration moves a server from SQLite to PostgreSQL and back: clients go on from their tokens and
// see exactly what is new.
func TestClientsDoNotNoticeAMigration(t *testing.T) {
	server := harness.Start(t, harness.Options{})
	alice, bob := newClient(t, server, "alice"), newClient(t, server, "bob")
	rooms := []string{converse(t, alice, bob, "one"), converse(t, alice, bob, "two")}
	since := bob.poll("").Get("next_batch").String()
	sent := alice.say(rooms[0], "unseen", "not seen yet")
	load := startLoad(t, server)
	load.end()
	before, state := load.accepted(), alice.state(rooms[0])

	url := pgtest.StartDurable(t)
	there := []string{"migrate", "--from-data-dir", server.Dir, "--to-database", url}
	out, err := server.Run(t.Context(), "", there...)
	require.Error(t, err)
	require.Contains(t, out, "is in use by another server")
	server.Stop(syscall.SIGTERM)
	out, err = server.Run(t.Context(), "", there...)
	require.NoError(t, err, out)
	t.Log(out)
	require.ErrorContains(t, server.Up(t.Context()), "were moved to postgres://", "the old place is not used by accident")
	out, err = server.Run(t.Context(), "", "backup", "--data-dir", server.Dir, filepath.Join(t.TempDir(), "x"))
	require.Error(t, err)
	require.Contains(t, out, "were moved to postgres://")
	out, err = server.Run(t.Context(), "", there...)
	require.Error(t, err)
	require.Contains(t, out, "everything was moved already")

	server.Move(server.Dir, "--database", url)
	require.NoError(t, server.Up(t.Context()))
	since = requireUnnoticed(t, alice, bob, rooms, since, sent, []string{"not seen yet"}, state)
	before = afresh(t, server, before)
	require.NoError(t, checkHistory(t.Context(), before))
	require.NoError(t, checkIdempotent(t.Context(), before))

	out, err = server.Run(t.Context(), "", "migrate", "--from-database", url, "--to-data-dir", t.TempDir())
	require.Error(t, err)
	require.Contains(t, out, "a server is connected to it")
	sent = alice.say(rooms[0], "unseen again", "not seen yet either")
	state = alice.state(rooms[0])
	server.Stop(syscall.SIGTERM)
	dir := filepath.Join(t.TempDir(), "new")
	out, err = server.Run(t.Context(), "", "migrate", "--from-data-dir", server.Dir, "--from-database", url, "--to-data-dir", dir)
	require.NoError(t, err, out)
	t.Log(out)
	require.ErrorContains(t, server.Up(t.Context()), "it was moved to data directory "+dir)
	server.Move(dir)
	require.NoError(t, server.Up(t.Context()))
	requireUnnoticed(t, alice, bob, rooms, since, sent, []string{"not seen yet either"}, state)
}

// requireUnnoticed goes on as clients do, and returns bob's new token.
func requireUnnoticed(
	t *testing.T, alice, bob *client, rooms []string, since, sent string, unseen []string, state map[string]string,
) string {
	t.Helper()
	alice.reconnect()
	bob.reconnect()
	answer := bob.poll(since)
	require.Equal(t, map[string]bool{rooms[0]: false}, joined(answer), "the room with news, and that is not limited")
	require.Equal(t, unseen, timeline(answer, rooms[0]))
	require.Equal(t, unseen, timeline(bob.poll(since), rooms[0]), "the same token gives the same answer")
	next := answer.Get("next_batch").String()
	require.Empty(t, joined(bob.poll(next)))
	txn := map[string]string{"not seen yet": "unseen", "not seen yet either": "unseen again"}[unseen[0]]
	require.Equal(t, sent, alice.say(rooms[0], txn, unseen[0]), "a transaction id is known")
	require.Equal(t, state, alice.state(rooms[0]))
	alice.say(rooms[1], unseen[0]+" new", "new "+unseen[0])
	roomID, err := bob.CreateRoom(t.Context(), map[string]any{"preset": "public_chat"})
	require.NoError(t, err, "numbering goes on")
	texts, next := bob.until(next, rooms[1], 1)
	require.Equal(t, []string{"new " + unseen[0]}, texts)
	require.NoError(t, alice.Join(t.Context(), roomID))
	rooms[1] = roomID // each round has a room of its own
	require.Eventually(t, func() bool {
		answer := bob.poll(next)
		next = answer.Get("next_batch").String()
		return len(joined(answer)) == 0
	}, 30*time.Second, 10*time.Millisecond)
	return next
}

// TestAKilledMigrationIsRepeated kills the command at growing times until one run is quick enough.
func TestAKilledMigrationIsRepeated(t *testing.T) {
	server := harness.Start(t, harness.Options{})
	alice, bob := newClient(t, server, "alice"), newClient(t, server, "bob")
	rooms := []string{converse(t, alice, bob, "one"), converse(t, alice, bob, "two")}
	since := bob.poll("").Get("next_batch").String()
	sent := alice.say(rooms[0], "unseen", "not seen yet")
	load := startLoad(t, server)
	load.end()
	state := alice.state(rooms[0])
	server.Stop(syscall.SIGTERM)

	url := pgtest.StartDurable(t)
	kills := 0
	for after := 50 * time.Millisecond; ; after += 50 * time.Millisecond {
		command := server.Command("migrate", "--from-data-dir", server.Dir, "--to-database", url)
		require.NoError(t, command.Start())
		kill := time.AfterFunc(after, func() { command.Signal(syscall.SIGKILL) })
		<-command.Done()
		kill.Stop()
		status := command.Stop(syscall.SIGKILL)
		if status == 0 {
			break
		}
		require.Equal(t, -1, status, "it was killed, it did not fail: %s", command.Log())
		kills++
		out, err := server.Run(t.Context(), "", "backup", "--data-dir", server.Dir, "--database", url, filepath.Join(t.TempDir(), "x"))
		if err == nil {
			break // killed when all was done
		}
		require.Regexp(t, "it is incomplete|there are no tables", out, "what is there is for nobody")
	}
	require.Positive(t, kills)
	t.Logf("killed %d times", kills)
	server.Move(server.Dir, "--database", url)
	require.NoError(t, server.Up(t.Context()))
	requireUnnoticed(t, alice, bob, rooms, since, sent, []string{"not seen yet"}, state)
	require.NoError(t, checkHistory(t.Context(), afresh(t, server, load.accepted())))
}
