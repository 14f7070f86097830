package keys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"google.golang.org/protobuf/proto"

	keyspb "hongyan/api/keys"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/platform/once"
	"hongyan/service/keys/internal/signed"
	"hongyan/service/keys/internal/store"
)

// curve is the algorithm of one-time keys that clients look for in the counts.
const curve = "signed_curve25519"

// upload is what a device uploads.
type upload struct {
	userID, deviceID string
	// device is nil where no device keys were uploaded.
	device            *signed.Object
	oneTime, fallback []store.Key
	// txn is the gateway's key for the request: an attempt that was held up must not undo what came after.
	txn eventlog.Txn
}

// postUpload is POST /keys/upload.
func (s *Service) postUpload(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		DeviceKeys   json.RawMessage            `json:"device_keys"`
		OneTimeKeys  map[string]json.RawMessage `json:"one_time_keys"`
		FallbackKeys map[string]json.RawMessage `json:"fallback_keys"`
	}
	if err := httpx.ReadJSON(r, &body); err != nil {
		return err
	}
	caller := httpx.CallerOf(r)
	up := upload{userID: caller.UserID, deviceID: caller.DeviceID, txn: once.Of(r)}
	var err error
	if up.device, err = s.parseDevice(caller, body.DeviceKeys); err != nil {
		return err
	}
	if up.oneTime, err = s.parseKeys(caller, "one_time_keys", body.OneTimeKeys); err != nil {
		return err
	}
	if up.fallback, err = s.parseFallback(caller, body.FallbackKeys); err != nil {
		return err
	}
	if err := s.storeUpload(r.Context(), up); err != nil {
		return err
	}
	counts, err := s.store.Counts(r.Context(), s.deps.DB, caller.UserID, caller.DeviceID)
	if err != nil {
		return err
	}
	left := map[string]int64{curve: 0}
	maps.Copy(left, counts.OneTime)
	httpx.WriteJSON(w, http.StatusOK, map[string]any{"one_time_key_counts": left})
	return nil
}

// storeUpload stores an upload: the device's own keys last, for who sees a device claims a key of it, and does not soon try again
// where there was none. A repeat stores what is missing.
func (s *Service) storeUpload(ctx context.Context, up upload) error {
	if up.device == nil && len(up.oneTime)+len(up.fallback) == 0 {
		return nil
	}
	leave, err := s.turns.enter(ctx, up.userID)
	if err != nil {
		return err
	}
	defer leave()
	last := s.users // where the request is done
	if up.device != nil {
		last = s.deviceList
	}
	return once.Settle(ctx, last, up.txn, s.retry(ctx, func(ctx context.Context) error { return s.tryUpload(ctx, up) }))
}

func (s *Service) tryUpload(ctx context.Context, up upload) error {
	if err := s.refuseCrossed(ctx, up); err != nil {
		return err
	}
	hold, err := s.hold(ctx, up.userID, up.deviceID)
	if err != nil {
		return err
	}
	if hold.anew {
		if err := s.changeDeviceList(ctx, up.userID, eventlog.Append{Statements: hold.statements}); err != nil {
			return err
		}
		hold = heldDevice(up.userID, up.deviceID, hold.createdMs)
	}
	news, err := s.findNew(ctx, up)
	if err != nil {
		return err
	}
	err = s.storeKeys(ctx, up, news, hold)
	if up.device == nil {
		return err
	}
	var duplicate *eventlog.DuplicateTxnError
	if err != nil && !errors.As(err, &duplicate) {
		return err
	}
	return s.storeDevice(ctx, up, hold)
}

// held are the statements that bind an append to a device that is there.
type held struct {
	createdMs int64
	// anew says that what is stored belongs to an earlier device of this id, and that the statements delete it.
	anew       bool
	statements []eventlog.Statement
}

// hold asks identity for a device and returns what binds an append to it. One that is gone is M_UNKNOWN_TOKEN: so is the token
// of who calls.
func (s *Service) hold(ctx context.Context, userID, deviceID string) (held, error) {
	there, err := s.identityDevices(ctx, userID, []string{deviceID})
	if err != nil {
		return held{}, err
	}
	known, err := s.store.Device(ctx, s.deps.DB, userID, deviceID)
	if err != nil {
		return held{}, err
	}
	h := held{createdMs: there[deviceID].GetCreatedMs()}
	switch {
	case there[deviceID] == nil, known.CreatedMs > h.createdMs, known.CreatedMs == h.createdMs && known.RemovedMs > 0:
		return held{}, matrix.NewError(matrix.CodeUnknownToken, "Your device was removed.")
	case known.CreatedMs != 0 && known.CreatedMs < h.createdMs:
		h.anew, h.statements = true, store.ReplaceDevice(userID, known, h.createdMs)
	default:
		h = heldDevice(userID, deviceID, h.createdMs)
	}
	return h, nil
}

// heldDevice binds appends to a device that is there already, or is the first of its id.
func heldDevice(userID, deviceID string, createdMs int64) held {
	return held{createdMs: createdMs, statements: []eventlog.Statement{store.HoldDevice(userID, deviceID, createdMs)}}
}

// refuseCrossed refuses the keys of a device that is called as one of the user's cross-signing keys is: their signatures could not be
// told apart.
func (s *Service) refuseCrossed(ctx context.Context, up upload) error {
	if up.device == nil {
		return nil
	}
	crossed, err := s.store.Crossed(ctx, up.userID, up.deviceID)
	if err == nil && crossed {
		return matrix.NewError(matrix.CodeForbidden, "The id of your device is one of your cross-signing keys.")
	}
	return err
}

// storeDevice stores the keys of a device where they are others than before.
func (s *Service) storeDevice(ctx context.Context, up upload, hold held) error {
	raw, err := up.device.JSON(nil)
	if err != nil {
		return err
	}
	old, err := s.store.DeviceKey(ctx, up.userID, up.deviceID)
	if err != nil {
		return err
	}
	if string(old) == string(raw) {
		return once.Unchanged(ctx, s.deviceList, up.txn)
	}
	stream, err := s.deviceListStreams.of(ctx, up.userID)
	if err != nil {
		return err
	}
	a := eventlog.Append{
		Statements: append(hold.statements, store.HoldNotCrossed(stream.ID, up.userID, up.deviceID)), Txns: once.Txns(up.txn),
		Rows: []eventlog.Row{store.DeviceKeyRow(up.userID, up.deviceID, raw)},
	}
	if old != nil {
		before, err := signed.Parse(old)
		if err != nil {
			return fmt.Errorf("stored keys of a device: %w", err)
		}
		if !before.Same(up.device) {
			a.Statements = append(a.Statements, store.DropSignatures(up.userID, up.deviceID))
		}
	}
	return s.changeDeviceList(ctx, up.userID, a)
}

// storeKeys stores one-time and fallback keys, with the entry that tells of them.
func (s *Service) storeKeys(ctx context.Context, up upload, news newKeys, hold held) error {
	if len(up.oneTime)+len(up.fallback) == 0 {
		return nil
	}
	if news.keys == 0 {
		return once.Unchanged(ctx, s.users, up.txn)
	}
	stream, err := s.userStreams.of(ctx, up.userID)
	if err != nil {
		return err
	}
	entry, err := countsEntry(up.deviceID)
	if err != nil {
		return err
	}
	_, err = s.users.Append(ctx, eventlog.Append{
		Stream: stream, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{entry}, Rows: news.rows,
		Statements: slices.Concat(hold.statements, news.statements), Txns: once.Txns(up.txn),
	})
	if err == nil {
		s.metrics.uploaded.Add(float64(news.keys))
	}
	return err
}

// countsEntry tells that the counts of a device have changed.
func countsEntry(deviceID string) (eventlog.Entry, error) {
	body, err := proto.Marshal(&keyspb.CountsChanged{DeviceId: deviceID})
	if err != nil {
		return eventlog.Entry{}, fmt.Errorf("encode counts: %w", err)
	}
	return eventlog.Entry{
		Kind: eventlog.Kind(keyspb.EntryKind_ENTRY_KIND_COUNTS), Key: store.CountsKey(deviceID), Body: body,
	}, nil
}
