package keys

import (
	"context"
	"net/http"
	"slices"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/matrix/synctoken"
	"hongyan/platform/httpx"
	"hongyan/service/keys/internal/store"
)

// changesBindings are for any instance.
func (s *Service) changesBindings() []httpx.Binding {
	return []httpx.Binding{{
		Route:   httpx.Route{Method: http.MethodGet, Path: clientPath + "/keys/changes"},
		Handler: func(w http.ResponseWriter, r *http.Request) error { return apiError(s.getChanges(w, r)) },
	}}
}

// getChanges answers GET /_matrix/client/v3/keys/changes: what /sync says in device_lists, between two of its tokens.
func (s *Service) getChanges(w http.ResponseWriter, r *http.Request) error {
	var tokens [2]synctoken.Token
	query := httpx.ReadQuery(r.URL)
	for i, name := range []string{"from", "to"} {
		text := query.String(name)
		if text == "" {
			return matrix.Errorf(matrix.CodeMissingParam, "The parameter %q is missing.", name)
		}
		var err error
		if tokens[i], err = synctoken.Parse(text); err != nil {
			return err
		}
	}
	if err := query.Err(); err != nil {
		return err
	}
	caller := httpx.CallerOf(r)
	wanted := store.Range{Viewer: caller.UserID, Limit: changesAtOnce + 1}
	if tokens[0].KeysEpoch == synctoken.OfDevice(s.epoch(), caller.DeviceID) {
		wanted.After = tokens[0].DeviceLists
	}
	changed, left, err := s.changes(r.Context(), wanted, &tokens[0], &tokens[1])
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, struct {
		Changed []string `json:"changed"`
		Left    []string `json:"left"`
	}{changed, left})
	return nil
}

// changesAtOnce is up to how many changed device lists are read before it is asked whom they concern. Where more have changed
// it is the other way round.
const changesAtOnce = 1000

// changes returns the users whose device lists changed for the viewer between two tokens, and those who share no encrypted room
// with them any more. wanted is where the first token is in the log of device lists. As many requests are served at once as queries for many users.
//
// Of each user only the last change is kept. Who changed after the second token may have changed before it too, and is
// told: a client may ask for somebody's keys once too often, never once too seldom.
func (s *Service) changes(ctx context.Context, wanted store.Range, from, to *synctoken.Token) (changed, left []string, err error) {
	leave, err := s.enterLarge(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	found, err := s.store.Changes(ctx, wanted)
	if err != nil {
		return nil, nil, err
	}
	req := &roompb.PeersRequest{UserId: wanted.Viewer, After: momentOf(from), Through: notBefore(momentOf(to), from)}
	if req.All = len(found) > changesAtOnce; !req.All {
		for _, c := range found {
			req.Users = append(req.Users, c.UserID)
		}
	}
	peers, err := s.deps.Room.Peers(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	of := append(peers.GetShared(), wanted.Viewer)
	if req.All {
		if found, err = s.changesOf(ctx, wanted, of); err != nil {
			return nil, nil, err
		}
	}
	concerned := make(map[string]bool, len(of))
	for _, u := range of {
		concerned[u] = true
	}
	changed = append([]string{}, peers.GetBegan()...)
	for _, c := range found {
		if concerned[c.UserID] {
			changed = append(changed, c.UserID)
		}
	}
	slices.Sort(changed)
	return slices.Compact(changed), append([]string{}, peers.GetEnded()...), nil
}

// changesOf reads which of many users' device lists changed in a range, a part of the users at once.
func (s *Service) changesOf(ctx context.Context, wanted store.Range, of []string) (all []store.Change, err error) {
	for users := range slices.Chunk(of, maxChanges) {
		wanted.Users, wanted.Limit = users, len(users)
		page, err := s.store.Changes(ctx, wanted)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
	}
	return all, nil
}

// epoch is that of both logs together, as it is in tokens.
func (s *Service) epoch() uint64 { return synctoken.KeysEpoch(s.users.Epoch(), s.deviceList.Epoch()) }

// momentOf is what a token says of the rooms.
func momentOf(t *synctoken.Token) *roompb.Moment {
	m := &roompb.Moment{Epoch: t.RoomEpoch, Positions: make(map[int32]int64, len(t.Rooms))}
	for _, p := range t.Rooms {
		m.Positions[int32(p.Shard)] = p.Position
	}
	return m
}

// notBefore moves a moment so that it is nowhere before a token.
func notBefore(m *roompb.Moment, from *synctoken.Token) *roompb.Moment {
	if m.Epoch == from.RoomEpoch {
		for _, p := range from.Rooms {
			m.Positions[int32(p.Shard)] = max(m.Positions[int32(p.Shard)], p.Position)
		}
	}
	return m
}
