package keys

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	identitypb "hongyan/api/identity"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/platform/once"
	"hongyan/service/keys/internal/signed"
	"hongyan/service/keys/internal/store"
)

// crossKey is a cross-signing key that is uploaded.
type crossKey struct {
	usage     string
	publicKey string
	object    *signed.Object
}

// crossUpload are the cross-signing keys that a user uploads, the master key first.
type crossUpload struct {
	userID, deviceID string
	keys             []crossKey
	// txn is the gateway's key for the request: an attempt that was held up must not undo what came after.
	txn eventlog.Txn
}

// of returns the uploaded key of a usage; nil where there is none.
func (up *crossUpload) of(usage string) *crossKey {
	for i := range up.keys {
		if up.keys[i].usage == usage {
			return &up.keys[i]
		}
	}
	return nil
}

// names are the public keys, which are the names of the keys as device ids are those of devices.
func (up *crossUpload) names() []string {
	names := make([]string, len(up.keys))
	for i, k := range up.keys {
		names[i] = k.publicKey
	}
	return names
}

// postDeviceSigning is POST /keys/device_signing/upload.
func (s *Service) postDeviceSigning(w http.ResponseWriter, r *http.Request) error {
	raw, err := httpx.ReadBody(r)
	if err != nil {
		return err
	}
	caller := httpx.CallerOf(r)
	up, err := s.parseCross(caller, raw)
	if err != nil {
		return err
	}
	up.txn = once.Of(r)
	challenge, err := s.storeCross(r.Context(), up, raw)
	if err != nil {
		return err
	}
	if challenge != nil {
		httpx.WriteRawJSON(w, http.StatusUnauthorized, challenge)
		return nil
	}
	httpx.WriteRawJSON(w, http.StatusOK, []byte("{}"))
	return nil
}

// parseCross reads an upload and checks each key by itself.
func (s *Service) parseCross(caller httpx.Caller, raw []byte) (*crossUpload, error) {
	var body struct {
		Master      json.RawMessage `json:"master_key"`
		SelfSigning json.RawMessage `json:"self_signing_key"`
		UserSigning json.RawMessage `json:"user_signing_key"`
	}
	if err := httpx.DecodeJSON(raw, &body); err != nil {
		return nil, err
	}
	up := &crossUpload{userID: caller.UserID, deviceID: caller.DeviceID}
	for _, k := range []struct {
		usage string
		raw   json.RawMessage
	}{{store.Master, body.Master}, {store.SelfSigning, body.SelfSigning}, {store.UserSigning, body.UserSigning}} {
		if isNull(k.raw) {
			continue
		}
		if len(k.raw) > s.cfg.MaxDeviceKeyBytes {
			return nil, matrix.Errorf(matrix.CodeTooLarge, "%s_key is larger than %d bytes.", k.usage, s.cfg.MaxDeviceKeyBytes)
		}
		o, err := signed.Parse(k.raw)
		if err != nil {
			return nil, err
		}
		key := crossKey{usage: k.usage, publicKey: o.PublicKey(), object: o}
		switch {
		case o.UserID != caller.UserID:
			return nil, matrix.Errorf(matrix.CodeInvalidParam, "%s_key.user_id is not yours.", k.usage)
		case !slices.Contains(o.Usage, k.usage):
			return nil, matrix.Errorf(matrix.CodeInvalidParam, "%s_key.usage lacks %q.", k.usage, k.usage)
		case key.publicKey == "":
			return nil, matrix.Errorf(matrix.CodeInvalidParam, "%s_key.keys must be one ed25519 key, named after itself.", k.usage)
		}
		o.Only(caller.UserID)
		up.keys = append(up.keys, key)
	}
	return up, nil
}

// storeCross stores an upload. It returns what is to be answered with 401 where the user has to prove who they are first.
func (s *Service) storeCross(ctx context.Context, up *crossUpload, raw []byte) (challenge []byte, err error) {
	needsProof, err := s.tryCross(ctx, up, false)
	if needsProof && err == nil {
		// Not in the user's turn: a password takes its time.
		var resp *identitypb.CheckAuthResponse
		resp, err = s.deps.Identity.CheckAuth(ctx, &identitypb.CheckAuthRequest{
			UserId: up.userID, Method: http.MethodPost, Path: deviceSigningPath, Body: raw,
		})
		if challenge = resp.GetChallenge(); err == nil && len(challenge) == 0 {
			_, err = s.tryCross(ctx, up, true)
		}
	}
	return challenge, once.Settle(ctx, s.deviceList, up.txn, err)
}

// tryCross stores an upload, or tells that the user, who has not proven who they are, has to.
func (s *Service) tryCross(ctx context.Context, up *crossUpload, proven bool) (needsProof bool, err error) {
	leave, err := s.turns.enter(ctx, up.userID)
	if err != nil {
		return false, err
	}
	defer leave()
	err = s.retry(ctx, func(ctx context.Context) error {
		stored, err := s.crossKeys(ctx, up.userID)
		if err != nil {
			return err
		}
		if err := checkCross(up, stored); err != nil {
			return err
		}
		if !changesKeys(up, stored) {
			return once.Unchanged(ctx, s.deviceList, up.txn)
		}
		if err := s.refuseDeviceIDs(ctx, up); err != nil {
			return err
		}
		if _, exists := stored[store.Master]; exists && !proven {
			needsProof = true
			return nil
		}
		return s.writeCross(ctx, up, stored)
	})
	return needsProof, err
}

// storedCross is a cross-signing key in the database.
type storedCross struct {
	store.CrossSigningKey
	object *signed.Object
}

// crossKeys reads the cross-signing keys of a user, by usage.
func (s *Service) crossKeys(ctx context.Context, userID string) (map[string]storedCross, error) {
	found, err := s.store.CrossSigningKeys(ctx, []string{userID})
	if err != nil {
		return nil, err
	}
	stored := make(map[string]storedCross, len(found))
	for _, k := range found {
		o, err := signed.Parse(k.JSON)
		if err != nil {
			return nil, fmt.Errorf("stored cross-signing key: %w", err)
		}
		stored[k.Usage] = storedCross{k, o}
	}
	return stored, nil
}

// checkCross checks that the master key, the uploaded one or else the stored one, has signed the others.
func checkCross(up *crossUpload, stored map[string]storedCross) error {
	master := stored[store.Master].PublicKey
	if k := up.of(store.Master); k != nil {
		master = k.publicKey
	}
	if master == "" {
		return matrix.NewError(matrix.CodeMissingParam, "No master signing key is available: upload master_key.")
	}
	for _, k := range up.keys {
		if k.usage != store.Master && !k.object.Verified(up.userID, master, master) {
			return matrix.Errorf(matrix.CodeInvalidSignature, "%s_key has no valid signature of your master key.", k.usage)
		}
	}
	return nil
}

// changesKeys tells whether an upload has a key that is not stored. Signatures do not count.
func changesKeys(up *crossUpload, stored map[string]storedCross) bool {
	return slices.ContainsFunc(up.keys, func(k crossKey) bool {
		old, ok := stored[k.usage]
		return !ok || !old.object.Same(k.object)
	})
}

// refuseDeviceIDs refuses keys that are called as one of the user's devices is: their signatures could not be told apart.
func (s *Service) refuseDeviceIDs(ctx context.Context, up *crossUpload) error {
	names := up.names()
	known, err := s.store.Devices(ctx, up.userID, names)
	if err != nil {
		return err
	}
	there, err := s.identityDevices(ctx, up.userID, names)
	if err != nil {
		return err
	}
	taken := len(there) > 0
	for _, d := range known {
		taken = taken || d.RemovedMs == 0
	}
	if taken {
		return matrix.NewError(matrix.CodeForbidden, "One of the keys is the id of one of your devices.")
	}
	return nil
}

// writeCross replaces the stored keys by the uploaded ones, and drops those that the new master key has not signed. It conflicts
// where another master key was stored meanwhile.
func (s *Service) writeCross(ctx context.Context, up *crossUpload, stored map[string]storedCross) error {
	hold, err := s.hold(ctx, up.userID, up.deviceID)
	if err != nil {
		return err
	}
	stream, err := s.deviceListStreams.of(ctx, up.userID)
	if err != nil {
		return err
	}
	a := eventlog.Append{
		Txns: once.Txns(up.txn), Statements: slices.Concat(
			hold.statements, store.HoldMaster(stream.ID, up.userID, stored[store.Master].PublicKey),
			[]eventlog.Statement{store.HoldNoDevices(stream.ID, up.userID, up.names())},
		),
	}
	old := stored[store.Master].PublicKey
	k := up.of(store.Master)
	another := old != "" && k != nil && k.publicKey != old
	for usage, was := range stored {
		k := up.of(usage)
		if k == nil && another || k != nil && k.publicKey != was.PublicKey {
			a.Statements = append(a.Statements, store.DropCrossSigningKey(was.CrossSigningKey)...)
		}
	}
	for _, k := range up.keys {
		raw, err := k.object.JSON(nil)
		if err != nil {
			return err
		}
		a.Rows = append(a.Rows, store.CrossSigningRow(store.CrossSigningKey{
			UserID: up.userID, Usage: k.usage, PublicKey: k.publicKey, JSON: raw,
		}))
	}
	return s.changeDeviceList(ctx, up.userID, a)
}
