package room

import (
	"net/http"

	"hongyan/platform/httpx"
)

// discoveryBindings are the routes of those who look for rooms and for what is in them.
func (s *Service) discoveryBindings() []httpx.Binding {
	bind := func(method, path, key string, handler httpx.HandlerFunc) httpx.Binding {
		return httpx.Binding{Route: httpx.Route{Method: method, Path: "/_matrix/client/" + path, Key: key}, Handler: handler}
	}
	open := func(b httpx.Binding) httpx.Binding {
		b.Auth = httpx.AuthOptional
		return b
	}
	query := bind(http.MethodPost, "v3/publicRooms", "", s.queryPublicRooms)
	query.Idempotent = true // it only reads
	const get, roomOrAlias = http.MethodGet, "roomIdOrAlias"
	// The paths of MSC3266 and, below, of MSC2666, which clients still ask.
	const unstable = "unstable/im.nheko.summary"
	return []httpx.Binding{
		open(bind(get, "v3/publicRooms", "", s.getPublicRooms)),
		query,
		open(bind(get, "v1/room_summary/{roomIdOrAlias}", roomOrAlias, s.getRoomSummary)),
		open(bind(get, unstable+"/summary/{roomIdOrAlias}", roomOrAlias, s.getRoomSummary)),
		open(bind(get, unstable+"/rooms/{roomIdOrAlias}/summary", roomOrAlias, s.getRoomSummary)),
		bind(get, "v1/rooms/{roomId}/hierarchy", roomKey, s.getHierarchy),
		bind(get, "v1/rooms/{roomId}/timestamp_to_event", roomKey, s.getEventByTimestamp),
		bind(get, "v3/rooms/{roomId}/initialSync", roomKey, s.getInitialSync),
		bind(get, "v1/mutual_rooms", httpx.KeyUser, s.getMutualRooms),
		bind(get, "unstable/uk.half-shot.msc2666/user/mutual_rooms", httpx.KeyUser, s.getMutualRooms),
	}
}
