package identity

import (
	"net/http"

	"hongyan/platform/httpx"
)

// Routes are the requests that the service serves, for the gateway.
func Routes() []httpx.Route { return httpx.Routes((*Service)(nil).bindings()) }

func (s *Service) bindings() []httpx.Binding {
	const (
		v1 = "/_matrix/client/v1"
		v3 = "/_matrix/client/v3"
	)
	route := func(method, path string, auth httpx.Auth, limit httpx.Limit, h httpx.HandlerFunc) httpx.Binding {
		return httpx.Binding{Route: httpx.Route{Method: method, Path: path, Auth: auth, Limit: limit, Idempotent: true}, Handler: answered(h)}
	}
	once := func(b httpx.Binding) httpx.Binding {
		b.Once = true
		return b
	}
	get, post, put, del := http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	return []httpx.Binding{
		once(route(post, v3+"/register", httpx.AuthNone, httpx.LimitRegister, s.postRegister)),
		route(get, v3+"/register/available", httpx.AuthNone, httpx.LimitRegister, s.getAvailable),
		route(get, v1+"/register/m.login.registration_token/validity", httpx.AuthNone, httpx.LimitRegister, s.getTokenValidity),
		route(get, "/_synapse/admin/v1/register", httpx.AuthNone, httpx.LimitDefault, s.getNonce),
		once(route(post, "/_synapse/admin/v1/register", httpx.AuthNone, httpx.LimitDefault, s.postSharedSecret)),

		route(get, "/_matrix/static/client/login/", httpx.AuthNone, httpx.LimitDefault, s.getLoginPage),
		route(get, v3+"/login", httpx.AuthNone, httpx.LimitDefault, s.getLogin),
		once(route(post, v3+"/login", httpx.AuthNone, httpx.LimitLogin, s.postLogin)),
		once(route(post, v1+"/login/get_token", httpx.AuthRequired, httpx.LimitLogin, s.postGetToken)),
		once(route(post, v3+"/refresh", httpx.AuthNone, httpx.LimitDefault, s.postRefresh)),
		route(post, v3+"/logout", httpx.AuthLocked, httpx.LimitDefault, s.postLogout),
		route(post, v3+"/logout/all", httpx.AuthLocked, httpx.LimitDefault, s.postLogoutAll),

		route(get, v3+"/auth/{authType}/fallback/web", httpx.AuthNone, httpx.LimitDefault, s.getFallback),
		once(route(post, v3+"/auth/{authType}/fallback/web", httpx.AuthNone, httpx.LimitLogin, s.postFallback)),

		route(get, v3+"/account/whoami", httpx.AuthRequired, httpx.LimitDefault, s.getWhoami),
		route(get, v3+"/account/3pid", httpx.AuthRequired, httpx.LimitDefault, s.getThreepids),
		once(route(post, v3+"/account/password", httpx.AuthOptional, httpx.LimitLogin, s.postPassword)),
		once(route(post, v3+"/account/deactivate", httpx.AuthOptional, httpx.LimitLogin, s.postDeactivate)),

		route(get, v3+"/devices", httpx.AuthRequired, httpx.LimitDefault, s.getDevices),
		route(get, v3+"/devices/{deviceId}", httpx.AuthRequired, httpx.LimitDefault, s.getDevice),
		route(put, v3+"/devices/{deviceId}", httpx.AuthRequired, httpx.LimitDefault, s.putDevice),
		once(route(del, v3+"/devices/{deviceId}", httpx.AuthRequired, httpx.LimitLogin, s.deleteDevice)),
		once(route(post, v3+"/delete_devices", httpx.AuthRequired, httpx.LimitLogin, s.postDeleteDevices)),

		route(get, v3+"/profile/{userId}", httpx.AuthOptional, httpx.LimitDefault, s.getProfile),
		route(get, v3+"/profile/{userId}/{keyName}", httpx.AuthOptional, httpx.LimitDefault, s.getProfileField),
		route(put, v3+"/profile/{userId}/{keyName}", httpx.AuthRequired, httpx.LimitDefault, s.putProfileField),
		route(del, v3+"/profile/{userId}/{keyName}", httpx.AuthRequired, httpx.LimitDefault, s.deleteProfileField),
	}
}
