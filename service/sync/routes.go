package sync

import (
	"net/http"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

const (
	clientPath = "/_matrix/client/v3"
	userPath   = clientPath + "/user/{userId}"
	roomPath   = clientPath + "/rooms/{roomId}"
	rulePath   = clientPath + "/pushrules/global/{kind}/{ruleId}"
)

// bindings are the routes with their handlers. All are for the instance that has the user in memory.
func (s *Service) bindings() []httpx.Binding {
	route := func(method, path string, handler httpx.HandlerFunc) httpx.Binding {
		return httpx.Binding{Route: httpx.Route{Method: method, Path: path, Key: httpx.KeyUser, Idempotent: true}, Handler: handler}
	}
	once := func(b httpx.Binding) httpx.Binding {
		b.Once = true
		return b
	}
	poll := route(http.MethodGet, clientPath+"/sync", s.getSync)
	poll.LongPoll, poll.Limit = true, httpx.LimitNone
	peek := route(http.MethodGet, clientPath+"/events", s.getEvents)
	peek.LongPoll = true
	return []httpx.Binding{
		poll, peek,
		route(http.MethodPost, userPath+"/filter", s.postFilter),
		route(http.MethodGet, userPath+"/filter/{filterId}", s.getFilter),

		route(http.MethodGet, userPath+"/account_data/{type}", s.getAccountData),
		route(http.MethodPut, userPath+"/account_data/{type}", s.putAccountData),
		route(http.MethodGet, userPath+"/rooms/{roomId}/account_data/{type}", s.getAccountData),
		route(http.MethodPut, userPath+"/rooms/{roomId}/account_data/{type}", s.putAccountData),

		route(http.MethodGet, userPath+"/rooms/{roomId}/tags", s.getTags),
		route(http.MethodPut, userPath+"/rooms/{roomId}/tags/{tag}", s.putTag),
		route(http.MethodDelete, userPath+"/rooms/{roomId}/tags/{tag}", s.deleteTag),

		route(http.MethodGet, clientPath+"/pushrules/", s.getPushRules),
		route(http.MethodGet, clientPath+"/pushrules/global/", s.getGlobalPushRules),
		route(http.MethodGet, rulePath, s.getPushRule),
		route(http.MethodPut, rulePath, s.putPushRule),
		once(route(http.MethodDelete, rulePath, s.deletePushRule)), // a rule that is gone is not found
		route(http.MethodGet, rulePath+"/enabled", s.getPushRuleEnabled),
		route(http.MethodPut, rulePath+"/enabled", s.putPushRuleEnabled),
		route(http.MethodGet, rulePath+"/actions", s.getPushRuleActions),
		route(http.MethodPut, rulePath+"/actions", s.putPushRuleActions),

		route(http.MethodPost, roomPath+"/receipt/{receiptType}/{eventId}", s.postReceipt),
		route(http.MethodPost, roomPath+"/read_markers", s.postReadMarkers),
		route(http.MethodPut, roomPath+"/typing/{userId}", s.putTyping),
	}
}

// self returns the caller where the path names no other user.
func self(r *http.Request) (string, error) {
	caller := httpx.CallerOf(r)
	if r.PathValue("userId") != caller.UserID {
		return "", matrix.Errorf(matrix.CodeForbidden, "You may only do this for yourself.")
	}
	return caller.UserID, nil
}

// roomOf returns the room that the path names.
func roomOf(r *http.Request) (string, error) {
	room, err := matrix.ParseRoomID(r.PathValue("roomId"))
	return string(room), err
}

// done is the answer to what succeeded and has nothing to say.
func done(w http.ResponseWriter) error {
	httpx.WriteRawJSON(w, http.StatusOK, []byte("{}"))
	return nil
}
