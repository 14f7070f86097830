package identity

import (
	"context"
	"net/http"

	identitypb "hongyan/api/identity"
	"hongyan/platform/httpx"
	"hongyan/service/identity/internal/store"
)

// empty is the answer of requests that have nothing to say.
type empty struct{}

// postLogout is POST /logout: the device goes with its token.
func (s *Service) postLogout(w http.ResponseWriter, r *http.Request) error {
	caller := httpx.CallerOf(r)
	if err := s.removeDevices(r.Context(), caller.UserID, []string{caller.DeviceID}); err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, empty{})
	return nil
}

// postLogoutAll is POST /logout/all.
func (s *Service) postLogoutAll(w http.ResponseWriter, r *http.Request) error {
	if err := s.removeDevices(r.Context(), httpx.CallerOf(r).UserID, nil); err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, empty{})
	return nil
}

// removeDevices removes those of the devices that a user has, or all where ids is nil, with their tokens.
func (s *Service) removeDevices(ctx context.Context, userID string, ids []string) error {
	return s.change(ctx, userID, s.removal(ids))
}

// removal removes devices as removeDevices does.
func (s *Service) removal(ids []string) func(context.Context, store.Account) (*change, error) {
	return func(ctx context.Context, account store.Account) (*change, error) {
		c := &change{}
		found, err := s.devicesIn(ctx, account.UserID, ids)
		if err != nil || len(found) == 0 {
			return nil, err
		}
		return c, s.dropDevices(c, account.UserID, found)
	}
}

// devicesIn returns the ids of those devices that a user has: of all, where ids is nil.
func (s *Service) devicesIn(ctx context.Context, userID string, ids []string) ([]string, error) {
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	devices, err := s.store.Devices(ctx, userID)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, d := range devices {
		if ids == nil || wanted[d.DeviceID] {
			found = append(found, d.DeviceID)
		}
	}
	return found, nil
}

// dropDevices adds to a change that devices go.
func (s *Service) dropDevices(c *change, userID string, ids []string) error {
	c.do(store.DeleteDevices(userID, ids)...)
	return s.tellRemoved(c, userID, ids)
}

// endSessions adds to a change that a password change ended these devices.
func (s *Service) endSessions(c *change, userID string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	if err := s.dropDevices(c, userID, ids); err != nil {
		return err
	}
	return s.tell(c, identitypb.UserEventKind_USER_EVENT_KIND_SESSIONS_ENDED, "",
		&identitypb.UserEvent{UserId: userID, DeviceIds: ids})
}
