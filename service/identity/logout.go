package identity

import (
	"context"
	"net/http"

	identitypb "hongyan/api/identity"
	"hongyan/platform/httpx"
	"hongyan/platform/once"
	"hongyan/service/identity/internal/store"
)

// empty is the answer of requests that have nothing to say.
type empty struct{}

// postLogout is POST /logout: the device goes with its token.
func (s *Service) postLogout(w http.ResponseWriter, r *http.Request) error {
	caller := httpx.CallerOf(r)
	if err := s.removeDevices(r, []string{caller.DeviceID}); err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, empty{})
	return nil
}

// postLogoutAll is POST /logout/all.
func (s *Service) postLogoutAll(w http.ResponseWriter, r *http.Request) error {
	if err := s.removeDevices(r, nil); err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, empty{})
	return nil
}

// removeDevices removes those of the devices that the caller has, or all where ids is nil, with their tokens. Where they are gone
// already the gateways forget them nevertheless: this may be the repetition of a request whose instance has died before
// it told them.
func (s *Service) removeDevices(r *http.Request, ids []string) error {
	ctx, userID := r.Context(), httpx.CallerOf(r).UserID
	gone := false
	remove := s.removal(ids)
	err := s.changeOnce(ctx, userID, once.Answered(r), func(ctx context.Context, account store.Account) (*change, error) {
		c, err := remove(ctx, account)
		gone = err == nil && c == nil
		return c, err
	})
	if gone {
		s.forget(ctx, userID, ids)
	}
	return err
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

// devicesIn returns those of these devices that a user has: all, where ids is nil.
func (s *Service) devicesIn(ctx context.Context, userID string, ids []string) ([]store.Device, error) {
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	devices, err := s.store.Devices(ctx, userID)
	if err != nil {
		return nil, err
	}
	var found []store.Device
	for _, d := range devices {
		if ids == nil || wanted[d.DeviceID] {
			found = append(found, d)
		}
	}
	return found, nil
}

func deviceIDs(devices []store.Device) []string {
	ids := make([]string, len(devices))
	for i, d := range devices {
		ids[i] = d.DeviceID
	}
	return ids
}

// dropDevices adds to a change that devices go.
func (s *Service) dropDevices(c *change, userID string, devices []store.Device) error {
	c.do(store.DeleteDevices(userID, deviceIDs(devices))...)
	return s.tellRemoved(c, userID, devices)
}

// endSessions adds to a change that a password change ended these devices.
func (s *Service) endSessions(c *change, userID string, devices []store.Device) error {
	if len(devices) == 0 {
		return nil
	}
	if err := s.dropDevices(c, userID, devices); err != nil {
		return err
	}
	return s.tell(c, identitypb.UserEventKind_USER_EVENT_KIND_SESSIONS_ENDED, "",
		&identitypb.UserEvent{UserId: userID, DeviceIds: deviceIDs(devices)})
}
