package identity

import (
	"context"
	"net/http"

	identitypb "hongyan/api/identity"
	"hongyan/platform/httpx"
	"hongyan/service/identity/internal/store"
)

// postDeactivate is POST /account/deactivate.
func (s *Service) postDeactivate(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Erase bool `json:"erase"`
		// IDServer only matters to who has identifiers bound to it, which nobody can have here.
		IDServer *string `json:"id_server"`
	}
	auth, err := readAuthBody(r, &body)
	if err != nil {
		return err
	}
	req := authRequest{
		userID: httpx.CallerOf(r).UserID, action: actionDeactivate, body: auth, flows: passwordFlows(), from: originOf(r),
	}
	passed, err := s.requireAuth(r.Context(), req)
	if err != nil {
		return err
	}
	if err := s.changeProven(r.Context(), req, passed, s.deactivation(body.Erase)); err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]string{"id_server_unbind_result": "success"})
	return nil
}

// deactivation ends an account for good. What it said in rooms and what other services keep for it is theirs to end; they
// follow the log.
func (s *Service) deactivation(erase bool) func(context.Context, store.Account) (*change, error) {
	return func(ctx context.Context, account store.Account) (*change, error) {
		userID := account.UserID
		devices, err := s.devicesIn(ctx, userID, nil)
		if err != nil {
			return nil, err
		}
		c := &change{}
		c.do(store.Deactivate(userID, s.nowMs(), erase), store.DeleteAuthSessionsOf(userID), store.DeleteLoginTokensOf(userID))
		if erase {
			c.do(store.DeleteProfile(userID))
		}
		if err := s.dropDevices(c, userID, devices); err != nil {
			return nil, err
		}
		c.forget = &[]string{}
		return c, s.tell(c, identitypb.UserEventKind_USER_EVENT_KIND_DEACTIVATED, "",
			&identitypb.UserEvent{UserId: userID, DeviceIds: deviceIDs(devices), Erase: erase})
	}
}
