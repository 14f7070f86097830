package keys

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"

	identitypb "hongyan/api/identity"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/service/keys/internal/signed"
	"hongyan/service/keys/internal/store"
)

const (
	// queryChunk is how many users are read at once.
	queryChunk = 500
	// largeQuery is from how many users on a query waits for its turn.
	largeQuery = 100
)

// keysAnswer is what POST /keys/query answers.
type keysAnswer struct {
	DeviceKeys      map[string]map[string]json.RawMessage `json:"device_keys"`
	MasterKeys      map[string]json.RawMessage            `json:"master_keys"`
	SelfSigningKeys map[string]json.RawMessage            `json:"self_signing_keys"`
	UserSigningKeys map[string]json.RawMessage            `json:"user_signing_keys"`
	Failures        map[string]any                        `json:"failures"`
}

// postQuery is POST /keys/query.
func (s *Service) postQuery(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		DeviceKeys map[string]json.RawMessage `json:"device_keys"`
	}
	if err := httpx.ReadJSON(r, &body); err != nil {
		return err
	}
	if body.DeviceKeys == nil {
		return matrix.NewError(matrix.CodeMissingParam, "device_keys is missing.")
	}
	if len(body.DeviceKeys) > s.cfg.QueryUsers {
		return matrix.Errorf(matrix.CodeInvalidParam, "device_keys has more than %d users.", s.cfg.QueryUsers)
	}
	wanted := make(map[string][]string, len(body.DeviceKeys))
	for user, raw := range body.DeviceKeys {
		var devices []string
		if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &devices) != nil {
			return badJSON("device_keys: want a list of device ids for each user.")
		}
		wanted[user] = devices
	}
	local, servers, err := s.split(slices.Collect(maps.Keys(wanted)))
	if err != nil {
		return err
	}
	if len(local) > largeQuery {
		leave, err := s.enterLarge(r.Context())
		if err != nil {
			return err
		}
		defer leave()
	}
	answer := keysAnswer{
		DeviceKeys: map[string]map[string]json.RawMessage{}, MasterKeys: map[string]json.RawMessage{},
		SelfSigningKeys: map[string]json.RawMessage{}, UserSigningKeys: map[string]json.RawMessage{}, Failures: failures(servers),
	}
	viewer := httpx.CallerOf(r).UserID
	for chunk := range slices.Chunk(local, queryChunk) {
		if err := s.query(r.Context(), viewer, chunk, wanted, &answer); err != nil {
			return err
		}
	}
	httpx.WriteJSON(w, http.StatusOK, answer)
	return nil
}

// enterLarge waits until not too many large reads are under way.
func (s *Service) enterLarge(ctx context.Context) (leave func(), err error) {
	select {
	case s.large <- struct{}{}:
		return func() { <-s.large }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for other large reads: %w: %w", eventlog.ErrUnavailable, ctx.Err())
	}
}

// query adds what a viewer may see of the keys of users to an answer; of a user of whom devices are wanted, only these.
func (s *Service) query(ctx context.Context, viewer string, users []string, wanted map[string][]string, answer *keysAnswer) error {
	devices, err := s.store.DeviceKeys(ctx, users)
	if err != nil {
		return err
	}
	crossSigning, err := s.store.CrossSigningKeys(ctx, users)
	if err != nil {
		return err
	}
	signatures, err := s.store.Signatures(ctx, users, viewer)
	if err != nil {
		return err
	}
	names, err := s.deviceNames(ctx, devices)
	if err != nil {
		return err
	}
	bySigned := map[[2]string][]store.Signature{}
	for _, x := range signatures {
		of := [2]string{x.UserID, x.KeyID}
		bySigned[of] = append(bySigned[of], x)
	}
	for _, user := range users {
		answer.DeviceKeys[user] = map[string]json.RawMessage{}
	}
	for _, k := range devices {
		only := wanted[k.UserID]
		device := names[[2]string{k.UserID, k.DeviceID}]
		// What identity does not have any more is about to be forgotten here too.
		if len(only) > 0 && !slices.Contains(only, k.DeviceID) || device == nil || device.GetCreatedMs() != k.CreatedMs {
			continue
		}
		unsigned := map[string]string{}
		if device.DisplayName != nil {
			unsigned["device_display_name"] = device.GetDisplayName()
		}
		raw, err := withSignatures(k.JSON, bySigned[[2]string{k.UserID, k.DeviceID}], unsigned)
		if err != nil {
			return err
		}
		answer.DeviceKeys[k.UserID][k.DeviceID] = raw
	}
	for _, k := range crossSigning {
		raw, err := withSignatures(k.JSON, bySigned[[2]string{k.UserID, k.PublicKey}], nil)
		if err != nil {
			return err
		}
		switch {
		case k.Usage == store.Master:
			answer.MasterKeys[k.UserID] = raw
		case k.Usage == store.SelfSigning:
			answer.SelfSigningKeys[k.UserID] = raw
		case k.UserID == viewer:
			answer.UserSigningKeys[k.UserID] = raw
		}
	}
	return nil
}

// withSignatures returns a stored key with further signatures, and with unsigned where it is not nil.
func withSignatures(raw []byte, more []store.Signature, unsigned map[string]string) ([]byte, error) {
	if len(more) == 0 && unsigned == nil {
		return raw, nil
	}
	o, err := signed.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("stored key: %w", err)
	}
	for _, x := range more {
		o.Add(x.Signer, x.SignerKey, x.Signature)
	}
	if unsigned == nil {
		return o.JSON(nil)
	}
	return o.JSON(unsigned)
}

// deviceNames asks identity for devices, by user and device id.
func (s *Service) deviceNames(ctx context.Context, keys []store.DeviceKey) (map[[2]string]*identitypb.Device, error) {
	byID := make(map[[2]string]*identitypb.Device, len(keys))
	if len(keys) == 0 {
		return byID, nil
	}
	req := &identitypb.DevicesRequest{}
	byUser := map[string]*identitypb.DevicesOfUser{}
	for _, k := range keys {
		u := byUser[k.UserID]
		if u == nil {
			u = &identitypb.DevicesOfUser{UserId: k.UserID}
			byUser[k.UserID] = u
			req.Users = append(req.Users, u)
		}
		u.DeviceIds = append(u.DeviceIds, k.DeviceID)
	}
	resp, err := s.deps.Identity.Devices(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("ask for devices: %w", err)
	}
	for _, d := range resp.GetDevices() {
		byID[[2]string{d.GetUserId(), d.GetDeviceId()}] = d
	}
	return byID, nil
}
