package room

import (
	"net/http"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/service/room/internal/store"
)

// getState answers all state events of a room (client-server API, "GET /rooms/{roomId}/state").
func (s *Service) getState(w http.ResponseWriter, r *http.Request) error {
	v, caller, err := s.openRoom(r)
	if err != nil {
		return err
	}
	at, ok := stateThrough(v)
	if !ok {
		return errNoAccess()
	}
	state, err := s.reads.state(r.Context(), v, at, store.Selection{})
	if err != nil {
		return err
	}
	out, err := s.reads.writer(v, caller.DeviceID).array(nil, state)
	if err != nil {
		return err
	}
	httpx.WriteRawJSON(w, http.StatusOK, out)
	return nil
}

// getStateEvent answers the content of one state event, or the whole event with format=event (client-server API, "GET
// /rooms/{roomId}/state/{eventType}/{stateKey}"). A path without a state key has the empty one.
func (s *Service) getStateEvent(w http.ResponseWriter, r *http.Request) error {
	v, caller, err := s.openRoom(r)
	if err != nil {
		return err
	}
	at, ok := stateThrough(v)
	if !ok {
		return errNoAccess()
	}
	q := httpx.ReadQuery(r.URL)
	format := q.Enum("format", "content", "content", "event")
	if err := q.Err(); err != nil {
		return err
	}
	key := store.Key{Type: r.PathValue("eventType"), StateKey: r.PathValue("stateKey")}
	var state []shown
	if isText(key.Type) && isText(key.StateKey) {
		state, err = s.reads.state(r.Context(), v, at, store.Selection{Keys: []store.Key{key}})
		if err != nil {
			return err
		}
	}
	if len(state) == 0 {
		return matrix.NewError(matrix.CodeNotFound, "The room has no such state.")
	}
	out := state[0].event.Content()
	if format == "event" {
		if out, err = s.reads.writer(v, caller.DeviceID).event(nil, state[0]); err != nil {
			return err
		}
	}
	httpx.WriteRawJSON(w, http.StatusOK, out)
	return nil
}
