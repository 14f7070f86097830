package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/app"
	"hongyan/test/pgtest"
)

// TestUserDirectory finds people, from the account to the search: with everything in one process, and in several, of which two
// keep the directory.
func TestUserDirectory(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { findPeople(t, start(t, t.TempDir(), nil)) })
	t.Run("postgres", func(t *testing.T) {
		findPeople(t, start(t, t.TempDir(), map[string]string{"database": pgtest.Start(t)}))
	})
	t.Run("several processes", func(t *testing.T) {
		d := newDeployment(t, "")
		for range 2 {
			d.start("social")
		}
		d.start("identity,room,keys,sync,media")
		findPeople(t, d.start("gateway"))
	})
}

// asker asks a server on behalf of its users.
type asker struct {
	t *testing.T
	*server
}

func (a asker) ok(method, path, token, body string) map[string]any {
	a.t.Helper()
	status, answer := a.call(method, "/_matrix/client/v3"+path, token, body)
	require.Equal(a.t, 200, status, "%s %s: %v", method, path, answer)
	return answer
}

// found are the users whom a search finds.
func (a asker) found(token, term string) string {
	a.t.Helper()
	var ids []string
	for _, u := range a.ok("POST", "/user_directory/search", token, fmt.Sprintf(`{"search_term":%q}`, term))["results"].([]any) {
		ids = append(ids, u.(map[string]any)["user_id"].(string))
	}
	return strings.Join(ids, " ")
}

// await waits until a search finds these. That it does at once, on a machine that is quick, is for the service's own tests.
func (a asker) await(token, term, want string) {
	a.t.Helper()
	require.Eventually(a.t, func() bool { return a.found(token, term) == want }, time.Minute, 20*time.Millisecond, term)
}

func findPeople(t *testing.T, s *server) {
	a := asker{t, s}
	alice, bob := a.register("alice"), a.register("bob")
	a.await(bob, "alice", "")
	room := a.ok("POST", "/createRoom", alice, `{"preset":"private_chat"}`)["room_id"].(string)
	a.ok("PUT", "/profile/@alice:localhost/displayname", alice, `{"displayname":"\u5c0f\u660e Liddell"}`)
	a.await(alice, "liddell", "@alice:localhost")
	a.await(bob, "liddell", "")
	a.ok("PUT", "/rooms/"+room+"/state/m.room.history_visibility", alice, `{"history_visibility":"world_readable"}`)
	a.await(bob, "lidd", "@alice:localhost")
	a.await(bob, "明", "@alice:localhost")
	a.ok("PUT", "/rooms/"+room+"/state/m.room.history_visibility", alice, `{"history_visibility":"shared"}`)
	a.await(bob, "lidd", "")
	a.ok("PUT", "/rooms/"+room+"/state/m.room.join_rules", alice, `{"join_rule":"public"}`)
	a.await(bob, "lidd", "@alice:localhost")
	a.ok("POST", "/join/"+room, bob, "")
	a.ok("PUT", "/rooms/"+room+"/state/m.room.join_rules", alice, `{"join_rule":"invite"}`)
	a.await(bob, "lidd", "@alice:localhost") // they share it now

	next := a.ok("POST", "/rooms/"+room+"/upgrade", alice, `{"new_version":"11"}`)["replacement_room"].(string)
	a.await(bob, "lidd", "@alice:localhost") // the room that was replaced is shared still
	a.ok("POST", "/rooms/"+room+"/leave", bob, "")
	a.await(bob, "lidd", "")
	a.ok("POST", "/rooms/"+next+"/invite", alice, `{"user_id":"@bob:localhost"}`)
	a.ok("POST", "/join/"+next, bob, "")
	a.await(bob, "lidd", "@alice:localhost")
	a.ok("POST", "/rooms/"+next+"/ban", alice, `{"user_id":"@bob:localhost"}`)
	a.await(alice, "bob", "")
	a.ok("POST", "/rooms/"+next+"/unban", alice, `{"user_id":"@bob:localhost"}`)
	a.ok("PUT", "/rooms/"+next+"/state/m.room.join_rules", alice, `{"join_rule":"public"}`)

	a.ok("PUT", "/user/@bob:localhost/account_data/m.ignored_user_list", bob, `{"ignored_users":{"@alice:localhost":{}}}`)
	a.await(bob, "lidd", "")
	a.ok("PUT", "/user/@bob:localhost/account_data/m.ignored_user_list", bob, `{"ignored_users":{}}`)
	a.await(bob, "lidd", "@alice:localhost")
	a.ok("POST", "/account/deactivate", alice,
		`{"auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"correct horse"}}`)
	a.await(bob, "alice", "")
}

// Without social only the search fails, and clearly.
func TestNothingElseMissesTheUserDirectory(t *testing.T) {
	d := newDeployment(t, "")
	social := d.start("social")
	d.start("identity,room,keys,sync,media")
	a := asker{t, d.start("gateway")}
	alice := a.register("alice")
	a.ok("POST", "/createRoom", alice, `{"preset":"public_chat"}`)
	a.await(alice, "alice", "@alice:localhost")
	social.stop()
	status, answer := a.call("POST", "/_matrix/client/v3/user_directory/search", alice, `{"search_term":"alice"}`)
	require.Equal(t, 503, status, answer)
	require.Contains(t, answer, "errcode")
	a.ok("PUT", "/profile/@alice:localhost/displayname", alice, `{"displayname":"Alice"}`)
	a.ok("POST", "/createRoom", alice, `{}`)
	a.ok("GET", "/sync", alice, "")
	d.start("social")
	a.await(alice, "alice", "@alice:localhost")
	require.Equal(t, "Alice", a.ok("POST", "/user_directory/search", alice, `{"search_term":"alice"}`)["results"].([]any)[0].(map[string]any)["display_name"])
}

// An administrator may let everybody find everybody.
func TestEverybodyFindsEverybody(t *testing.T) {
	cfg := app.Default()
	require.False(t, cfg.Social.DirectoryAllUsers, "by default only whom one has to do with")
	a := asker{t, start(t, t.TempDir(), map[string]string{"social-directory-all-users": "on"})}
	a.register("alice")
	bob := a.register("bob")
	a.await(bob, "ali", "@alice:localhost")
}
