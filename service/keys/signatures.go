package keys

import (
	"context"
	"encoding/json"
	"net/http"

	keyspb "hongyan/api/keys"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/platform/once"
	"hongyan/service/keys/internal/signed"
	"hongyan/service/keys/internal/store"
)

// keyFailure is what is answered of a key whose signatures were not taken.
type keyFailure struct {
	Code    matrix.ErrCode `json:"errcode"`
	Message string         `json:"error"`
}

// signedKeys are uploaded keys by user and key id.
type signedKeys map[string]map[string]*signed.Object

// postSignatures is POST /keys/signatures/upload.
func (s *Service) postSignatures(w http.ResponseWriter, r *http.Request) error {
	uploaded, err := s.readSignatures(r)
	if err != nil {
		return err
	}
	failed, err := s.storeSignatures(r.Context(), httpx.CallerOf(r), once.Of(r), uploaded)
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]any{"failures": failed})
	return nil
}

// readSignatures reads the uploaded keys. Users of whom there is none are left out.
func (s *Service) readSignatures(r *http.Request) (signedKeys, error) {
	var body map[string]map[string]json.RawMessage
	if err := httpx.ReadJSON(r, &body); err != nil {
		return nil, err
	}
	n := 0
	for user, keys := range body {
		if _, err := matrix.ParseUserID(user); err != nil {
			return nil, err
		}
		n += len(keys)
	}
	if n > s.cfg.SignatureKeys {
		return nil, matrix.Errorf(matrix.CodeInvalidParam, "One request may sign %d keys.", s.cfg.SignatureKeys)
	}
	uploaded := signedKeys{}
	for user, keys := range body {
		for id, raw := range keys {
			o, err := signed.Parse(raw)
			if err != nil {
				return nil, err
			}
			if uploaded[user] == nil {
				uploaded[user] = make(map[string]*signed.Object, len(keys))
			}
			uploaded[user][id] = o
		}
	}
	return uploaded, nil
}

// storeSignatures stores those of the uploaded signatures that are valid, and returns what is wrong with the others, by user
// and key. They are checked before it is the user's turn: what has changed meanwhile is a conflict.
func (s *Service) storeSignatures(
	ctx context.Context, caller httpx.Caller, txn eventlog.Txn, uploaded signedKeys,
) (failed map[string]map[string]keyFailure, err error) {
	failed = map[string]map[string]keyFailure{}
	if len(uploaded) == 0 {
		return failed, nil
	}
	err = s.retry(ctx, func(ctx context.Context) error {
		by, err := s.signer(ctx, caller.UserID, uploaded)
		if err != nil {
			return err
		}
		var fresh []proof
		failed, fresh = by.checkAll(uploaded)
		return s.writeSignatures(ctx, caller, txn, fresh)
	})
	return failed, once.Settle(ctx, s.deviceList, txn, err)
}

// writeSignatures stores signatures with the entries that tell of them: everybody who knows the signer sees their own keys
// change, and the signer alone those of others. It conflicts where one of the keys, signed or signing, was changed since it was read.
func (s *Service) writeSignatures(ctx context.Context, caller httpx.Caller, txn eventlog.Txn, fresh []proof) error {
	if len(fresh) == 0 {
		return once.Unchanged(ctx, s.deviceList, txn)
	}
	leave, err := s.turns.enter(ctx, caller.UserID)
	if err != nil {
		return err
	}
	defer leave()
	made, err := s.store.SignaturesBy(ctx, caller.UserID)
	if err != nil {
		return err
	}
	if made+len(fresh) > s.cfg.MaxSignatures {
		return matrix.Errorf(matrix.CodeResourceLimitExceeded, "You may have made %d signatures.", s.cfg.MaxSignatures)
	}
	hold, err := s.hold(ctx, caller.UserID, caller.DeviceID)
	if err != nil {
		return err
	}
	stream, err := s.deviceListStreams.of(ctx, caller.UserID)
	if err != nil {
		return err
	}
	a := eventlog.Append{Stream: stream, Expect: eventlog.AnySeq, Txns: once.Txns(txn), Statements: hold.statements}
	told, bound := map[string]bool{}, map[store.HeldKey]bool{}
	for _, x := range fresh {
		a.Rows = append(a.Rows, store.SignatureRow(x.Signature))
		if !told[x.UserID] {
			told[x.UserID] = true
			a.Entries = append(a.Entries, signedEntry(caller.UserID, x.UserID))
		}
		for _, k := range x.on {
			if !bound[k] {
				bound[k] = true
				a.Statements = append(a.Statements, store.HoldKey(k))
			}
		}
	}
	_, err = s.deviceList.Append(ctx, a)
	return err
}

// signedEntry tells that a user has signed keys, their own or another user's.
func signedEntry(signer, of string) eventlog.Entry {
	if signer == of {
		return deviceListEntry()
	}
	return eventlog.Entry{
		Kind: eventlog.Kind(keyspb.EntryKind_ENTRY_KIND_SIGNED_USER), Key: "s/" + of, Body: []byte(of),
	}
}
