package room

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"hongyan/matrix/filter"
	"hongyan/platform/httpx"
)

// readBindings are the routes that read rooms.
func (s *Service) readBindings() []httpx.Binding {
	get := func(path, key string, handler httpx.HandlerFunc) httpx.Binding {
		return httpx.Binding{
			Route:   httpx.Route{Method: http.MethodGet, Path: "/_matrix/client/v3" + path, Key: key},
			Handler: handler,
		}
	}
	const room = "roomId"
	v1 := func(path string, handler httpx.HandlerFunc) httpx.Binding {
		b := get(path, room, handler)
		b.Path = "/_matrix/client/v1" + path
		return b
	}
	bindings := []httpx.Binding{
		get("/joined_rooms", httpx.KeyUser, s.getJoinedRooms),
		get("/rooms/{roomId}/state", room, s.getState),
		get("/rooms/{roomId}/state/{eventType}", room, s.getStateEvent),
		get("/rooms/{roomId}/state/{eventType}/", room, s.getStateEvent),
		get("/rooms/{roomId}/state/{eventType}/{stateKey}", room, s.getStateEvent),
		get("/rooms/{roomId}/messages", room, s.getMessages),
		get("/rooms/{roomId}/event/{eventId}", room, s.getEvent),
		get("/rooms/{roomId}/context/{eventId}", room, s.getContext),
		get("/rooms/{roomId}/members", room, s.getMembers),
		get("/rooms/{roomId}/joined_members", room, s.getJoinedMembers),
		v1("/rooms/{roomId}/relations/{eventId}", s.getRelations),
		v1("/rooms/{roomId}/relations/{eventId}/{relType}", s.getRelations),
		v1("/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}", s.getRelations),
		v1("/rooms/{roomId}/threads", s.getThreads),
	}
	return append(bindings, s.discoveryBindings()...)
}

// openRoom reads the room of a request as the caller sees it; nil where there is no such room.
func (s *Service) openRoom(r *http.Request) (*view, httpx.Caller, error) {
	caller := httpx.CallerOf(r)
	v, err := s.reads.view(r.Context(), r.PathValue("roomId"), caller.UserID)
	return v, caller, err
}

// isText reports whether a database can hold the string; nothing with an id that it cannot hold exists.
func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// roomFilter reads the filter parameter, a RoomEventFilter as JSON.
func roomFilter(q *httpx.Query) (*filter.RoomEventFilter, error) {
	text := q.String("filter")
	if text == "" {
		return filter.DefaultRoomEvents(), nil
	}
	return filter.ParseRoomEvents([]byte(text))
}
