package app_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestGuests has a guest look into a room, join it, talk, be refused what guests may not do, be shown out and register: with
// everything in one process, and in several.
func TestGuests(t *testing.T) {
	t.Run("one process", func(t *testing.T) {
		visit(t, start(t, t.TempDir(), map[string]string{"identity-guest-access": "true"}))
	})
	t.Run("several processes", func(t *testing.T) {
		d := newDeployment(t, "")
		d.flags["identity-guest-access"] = "true"
		d.start("identity")
		d.start("room,sync")
		visit(t, d.start("gateway,keys,media,social"))
	})
}

func visit(t *testing.T, s *server) {
	alice := s.register("alice")
	ok := func(method, path, token, body string) map[string]any {
		status, answer := s.call(method, "/_matrix/client/v3"+path, token, body)
		require.Equal(t, 200, status, "%s %s: %v", method, path, answer)
		return answer
	}
	room := "/rooms/" + url.PathEscape(ok("POST", "/createRoom", alice, `{"preset":"public_chat","initial_state":[`+
		`{"type":"m.room.guest_access","content":{"guest_access":"can_join"}},`+
		`{"type":"m.room.history_visibility","content":{"history_visibility":"world_readable"}}]}`)["room_id"].(string))
	ok("PUT", room+"/send/m.room.message/1", alice, `{"msgtype":"m.text","body":"welcome"}`)

	account := ok("POST", "/register?kind=guest", "", `{}`)
	guest, id := account["access_token"].(string), account["user_id"].(string)
	require.Equal(t, true, ok("GET", "/account/whoami", guest, "")["is_guest"])
	require.Contains(t, fmt.Sprint(ok("GET", room+"/messages?dir=b", guest, "")), "welcome", "before joining")
	ok("POST", room+"/join", guest, `{}`)
	ok("PUT", room+"/send/m.room.message/1", guest, `{"msgtype":"m.text","body":"thank you"}`)
	require.Contains(t, fmt.Sprint(ok("GET", "/sync", guest, "")), "thank you")

	ok("GET", "/publicRooms", guest, "")
	for _, forbidden := range [][2]string{
		{"POST", "/createRoom"}, {"POST", room + "/invite"}, {"GET", "/joined_rooms"},
		{"PUT", room + "/redact/$e/1"}, {"GET", "/pushrules/"}, {"POST", "/user_directory/search"},
	} {
		status, answer := s.call(forbidden[0], "/_matrix/client/v3"+forbidden[1], guest, `{}`)
		require.Equal(t, 403, status, "%v: %v", forbidden, answer)
		require.Equal(t, "M_GUEST_ACCESS_FORBIDDEN", answer["errcode"], forbidden)
	}

	ok("PUT", room+"/state/m.room.guest_access", alice, `{"guest_access":"forbidden"}`)
	require.Eventually(t, func() bool {
		return ok("GET", room+"/state/m.room.member/"+url.PathEscape(id), alice, "")["membership"] == "leave"
	}, 20*time.Second, 20*time.Millisecond, "the guest is shown out")
	status, answer := s.call("POST", "/_matrix/client/v3"+room+"/join", guest, `{}`)
	require.Equal(t, 403, status, answer)

	name := id[1 : len(id)-len(":localhost")]
	user := ok("POST", "/register", "", fmt.Sprintf(`{"username":%q,"password":"correct horse","guest_access_token":%q,`+
		`"auth":{"type":"m.login.dummy"}}`, name, guest))
	require.Equal(t, id, user["user_id"])
	ok("POST", room+"/join", guest, `{}`) // the guest's token is a user's now
	require.Equal(t, false, ok("GET", "/account/whoami", user["access_token"].(string), "")["is_guest"])
}
