package gateway

import (
	"net/http"
	"strings"

	"hongyan/matrix"
)

// guestRoutes is what guests may call ("Guest Access"): the specification's list, and what clients need to use it (what
// the server can do, joining by alias, the public rooms that everybody may list by GET, logging out). What nobody needs a token for is open to them too.
var guestRoutes = map[string][]string{
	http.MethodGet: {
		"/_matrix/client/v3/rooms/{}/state", "/_matrix/client/v3/rooms/{}/state/{}", "/_matrix/client/v3/rooms/{}/state/{}/",
		"/_matrix/client/v3/rooms/{}/state/{}/{}", "/_matrix/client/v3/rooms/{}/context/{}", "/_matrix/client/v3/rooms/{}/event/{}",
		"/_matrix/client/v3/rooms/{}/messages", "/_matrix/client/v3/rooms/{}/members", "/_matrix/client/v3/rooms/{}/initialSync",
		"/_matrix/client/v3/sync", "/_matrix/client/v3/events",
		"/_matrix/client/v1/media/download/{}/{}", "/_matrix/client/v1/media/download/{}/{}/{}", "/_matrix/client/v1/media/thumbnail/{}/{}",
		"/_matrix/client/v3/devices", "/_matrix/client/v3/devices/{}", "/_matrix/client/v3/account/whoami",
		"/_matrix/client/v3/capabilities",
	},
	http.MethodPost: {
		"/_matrix/client/v3/rooms/{}/join", "/_matrix/client/v3/join/{}", "/_matrix/client/v3/rooms/{}/leave",
		"/_matrix/client/v3/logout", "/_matrix/client/v3/logout/all", "/_matrix/client/v3/publicRooms",
		"/_matrix/client/v3/keys/upload", "/_matrix/client/v3/keys/query", "/_matrix/client/v3/keys/claim",
	},
	http.MethodPut: {
		"/_matrix/client/v3/rooms/{}/send/{}/{}", "/_matrix/client/v3/rooms/{}/state/{}", "/_matrix/client/v3/rooms/{}/state/{}/",
		"/_matrix/client/v3/rooms/{}/state/{}/{}", "/_matrix/client/v3/sendToDevice/{}/{}",
		"/_matrix/client/v3/profile/{}/{}", // of which identity lets them set the display name
		"/_matrix/client/v3/devices/{}",
	},
	http.MethodDelete: {"/_matrix/client/v3/profile/{}/{}"},
}

// openToGuests tells whether guests may call a route.
func openToGuests(method, pattern string) bool {
	segments := strings.Split(pattern, "/")
	for i, s := range segments {
		if strings.HasPrefix(s, "{") {
			segments[i] = "{}"
		}
	}
	path := strings.Join(segments, "/")
	for _, open := range guestRoutes[method] {
		if open == path {
			return true
		}
	}
	return false
}

func errGuest() error {
	return matrix.NewError(matrix.CodeGuestAccessForbidden, "Guests cannot do this. Register an account first.")
}
