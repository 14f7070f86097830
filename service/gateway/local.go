package gateway

import (
	"net/http"
	"time"

	"hongyan/platform/httpx"
)

// RoomVersions are what m.room_versions says.
type RoomVersions struct {
	// Default is the version of new rooms.
	Default string
	// Available has the stability of each version: stable or unstable.
	Available map[string]string
}

// local answers what belongs to no service.
type local struct {
	cfg      Config
	versions RoomVersions
	features map[string]bool
	// has tells whether some service serves a route.
	has   func(method, path string) bool
	clock func() time.Time
	// health is what load balancers are told.
	health *health
}

// Routes are the routes that the gateway answers by itself.
func Routes() []httpx.Route { return httpx.Routes((*local)(nil).bindings()) }

func (l *local) bindings() []httpx.Binding {
	get := func(path string, auth httpx.Auth, limit httpx.Limit, h httpx.HandlerFunc) httpx.Binding {
		return httpx.Binding{Route: httpx.Route{Method: http.MethodGet, Path: path, Auth: auth, Limit: limit}, Handler: h}
	}
	return []httpx.Binding{
		get("/_matrix/client/versions", httpx.AuthNone, httpx.LimitNone, l.getVersions),
		get("/_matrix/client/v3/capabilities", httpx.AuthRequired, httpx.LimitDefault, l.getCapabilities),
		get("/_matrix/client/v3/voip/turnServer", httpx.AuthRequired, httpx.LimitDefault, l.getTurnServer),
		get("/.well-known/matrix/client", httpx.AuthNone, httpx.LimitNone, l.getWellKnown),
		get("/.well-known/matrix/support", httpx.AuthNone, httpx.LimitNone, l.getSupport),
		get(healthPath, httpx.AuthNone, httpx.LimitNone, l.getHealth),
		get("/", httpx.AuthNone, httpx.LimitNone, l.getLandingPage),
	}
}
