package room

import (
	"net/http"

	"hongyan/platform/httpx"
)

// roomKey chooses the instance by the room in the path.
const roomKey = "roomId"

// writeBindings are the routes that write rooms, and those of aliases and the directory.
func (s *Service) writeBindings() []httpx.Binding {
	on := func(method, path, key string, limit httpx.Limit, h httpx.HandlerFunc) httpx.Binding {
		return httpx.Binding{
			// What is written is written with its idempotency key.
			Route:   httpx.Route{Method: method, Path: "/_matrix/client/v3" + path, Key: key, Limit: limit, Idempotent: true},
			Handler: h,
		}
	}
	const put, post, get, del = http.MethodPut, http.MethodPost, http.MethodGet, http.MethodDelete
	const message, rooms, normal = httpx.LimitMessage, httpx.LimitRoom, httpx.LimitDefault
	bindings := []httpx.Binding{
		on(post, "/createRoom", httpx.KeyUser, rooms, s.createRoom),
		on(post, "/join/{roomIdOrAlias}", "roomIdOrAlias", rooms, s.joinByAlias),
		on(post, "/knock/{roomIdOrAlias}", "roomIdOrAlias", rooms, s.knock),
		on(post, "/rooms/{roomId}/join", roomKey, rooms, s.join),
		on(post, "/rooms/{roomId}/leave", roomKey, normal, s.leave),
		on(post, "/rooms/{roomId}/forget", roomKey, normal, s.forget),
		on(post, "/rooms/{roomId}/invite", roomKey, rooms, s.invite),
		on(post, "/rooms/{roomId}/kick", roomKey, normal, s.kick),
		on(post, "/rooms/{roomId}/ban", roomKey, normal, s.ban),
		on(post, "/rooms/{roomId}/unban", roomKey, normal, s.unban),
		on(post, "/rooms/{roomId}/upgrade", roomKey, rooms, s.upgrade),
		on(put, "/rooms/{roomId}/send/{eventType}/{txnId}", roomKey, message, s.send),
		on(put, "/rooms/{roomId}/redact/{eventId}/{txnId}", roomKey, message, s.redactEvent),
		on(put, "/rooms/{roomId}/state/{eventType}", roomKey, message, s.putState),
		on(put, "/rooms/{roomId}/state/{eventType}/", roomKey, message, s.putState),
		on(put, "/rooms/{roomId}/state/{eventType}/{stateKey}", roomKey, message, s.putState),
		on(get, "/rooms/{roomId}/aliases", roomKey, normal, s.getAliases),
		on(put, "/directory/room/{roomAlias}", "", normal, s.putAlias),
		on(del, "/directory/room/{roomAlias}", "", normal, s.deleteAlias),
		on(put, "/directory/list/room/{roomId}", roomKey, normal, s.putVisibility),
	}
	open := []httpx.Binding{
		on(get, "/directory/room/{roomAlias}", "", normal, s.getAlias),
		on(get, "/directory/list/room/{roomId}", roomKey, normal, s.getVisibility),
	}
	bind := on(put, "", "", rooms, s.onBind)
	bind.MaxBody = maxBoundBody
	bind.Path = "/_matrix/federation/v1/3pid/onbind"
	open = append(open, bind)
	for i := range open {
		open[i].Auth = httpx.AuthNone
	}
	return append(bindings, open...)
}
