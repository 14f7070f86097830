package gateway

import (
	"net/http"

	"hongyan/platform/httpx"
)

// getCapabilities is GET /_matrix/client/v3/capabilities ("Capabilities negotiation"). What it says follows from the
// routes that are served, so that nothing is promised that is not there.
func (l *local) getCapabilities(w http.ResponseWriter, r *http.Request) error {
	const v3 = "/_matrix/client/v3"
	enabled := func(on bool) map[string]any { return map[string]any{"enabled": on} }
	profiles := l.has(http.MethodPut, v3+"/profile/{userId}/{keyName}")
	capabilities := map[string]any{
		"m.change_password":          enabled(l.has(http.MethodPost, v3+"/account/password")),
		"m.profile_fields":           enabled(profiles),
		"m.set_displayname":          enabled(profiles), // deprecated, and still to be set along with m.profile_fields
		"m.set_avatar_url":           enabled(profiles),
		"m.3pid_changes":             enabled(l.has(http.MethodPost, v3+"/account/3pid/add")),
		"m.get_login_token":          enabled(l.has(http.MethodPost, "/_matrix/client/v1/login/get_token")),
		"m.forget_forced_upon_leave": enabled(false),
	}
	if len(l.versions.Available) > 0 {
		capabilities["m.room_versions"] = map[string]any{
			"default": l.versions.Default, "available": l.versions.Available,
		}
	}
	if moderation := l.moderation(httpx.CallerOf(r)); len(moderation) > 0 {
		capabilities["m.account_moderation"] = moderation
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]any{"capabilities": capabilities})
	return nil
}

// moderation is what an administrator may do to other accounts.
func (l *local) moderation(caller httpx.Caller) map[string]bool {
	may := map[string]bool{}
	for _, action := range []string{"suspend", "lock"} {
		if caller.Admin && l.has(http.MethodPut, "/_matrix/client/v1/admin/"+action+"/{userId}") {
			may[action] = true
		}
	}
	return may
}
