package keys

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"hongyan/matrix"
	"hongyan/service/keys/internal/signed"
	"hongyan/service/keys/internal/store"
)

// signer is who uploads signatures, with the stored keys that they may sign.
type signer struct {
	userID string
	// devices are keys of the signer's own devices by device id: nobody signs others'.
	devices map[string]storedDevice
	// cross are cross-signing keys by user and usage.
	cross map[string]map[string]storedCross
	// made are the signatures that the signer has made of these users' keys already.
	made map[store.Signature]bool
}

// storedDevice are keys of a device in the database.
type storedDevice struct {
	store.DeviceKey
	object *signed.Object
}

// proof is a signature that is to be stored, with the keys that it is of and by.
type proof struct {
	store.Signature
	on []store.HeldKey
}

// signer reads the keys of a signer and of those whose keys were uploaded. Other servers' users have none here.
func (s *Service) signer(ctx context.Context, userID string, uploaded signedKeys) (*signer, error) {
	users := []string{userID}
	for user := range uploaded {
		if user != userID && s.isLocal(user) {
			users = append(users, user)
		}
	}
	x := &signer{
		userID: userID, devices: map[string]storedDevice{}, cross: map[string]map[string]storedCross{}, made: map[store.Signature]bool{},
	}
	cross, err := s.store.CrossSigningKeys(ctx, users)
	if err != nil {
		return nil, err
	}
	for _, k := range cross {
		o, err := signed.Parse(k.JSON)
		if err != nil {
			return nil, fmt.Errorf("stored cross-signing key: %w", err)
		}
		if x.cross[k.UserID] == nil {
			x.cross[k.UserID] = map[string]storedCross{}
		}
		x.cross[k.UserID][k.Usage] = storedCross{k, o}
	}
	devices, err := s.store.DeviceKeys(ctx, []string{userID})
	if err != nil {
		return nil, err
	}
	for _, k := range devices {
		o, err := signed.Parse(k.JSON)
		if err != nil {
			return nil, fmt.Errorf("stored keys of a device: %w", err)
		}
		x.devices[k.DeviceID] = storedDevice{k, o}
	}
	made, err := s.store.SignaturesOf(ctx, users, userID)
	for _, m := range made {
		x.made[m] = true
	}
	return x, err
}

// checkAll checks uploaded keys. It returns the signatures that are not stored yet, and what is wrong with keys of which none is.
func (x *signer) checkAll(uploaded signedKeys) (failed map[string]map[string]keyFailure, fresh []proof) {
	failed = map[string]map[string]keyFailure{}
	for user, keys := range uploaded {
		for id, o := range keys {
			valid, err := x.check(user, id, o)
			var wrong *matrix.Error
			if errors.As(err, &wrong) {
				if failed[user] == nil {
					failed[user] = map[string]keyFailure{}
				}
				failed[user][id] = keyFailure{wrong.Code, wrong.Message}
			}
			for _, p := range valid {
				if !x.made[p.Signature] {
					fresh = append(fresh, p)
				}
			}
		}
	}
	return failed, fresh
}

func invalidSignature(format string, args ...any) error {
	return matrix.Errorf(matrix.CodeInvalidSignature, format, args...)
}

// check returns the signatures of a user's key that are to be stored. Its errors say what is wrong with the key: there is no such
// key that the signer may sign (M_NOT_FOUND), it is another one, or lacks a valid signature (M_INVALID_SIGNATURE).
func (x *signer) check(user, keyID string, o *signed.Object) ([]proof, error) {
	if device, ok := x.devices[keyID]; ok && user == x.userID {
		return x.checkBy(user, keyID, o, device.object, device.held(), store.SelfSigning)
	}
	master, ok := x.cross[user][store.Master]
	switch {
	case !ok || master.PublicKey != keyID:
		return nil, matrix.NewError(matrix.CodeNotFound, "There is no such key that you may sign.")
	case user != x.userID:
		return x.checkBy(user, keyID, o, master.object, master.held(), store.UserSigning)
	case !master.object.Same(o):
		return nil, invalidSignature("The key is another one.")
	}
	return x.checkMaster(keyID, o, master.held())
}

// checkBy wants the signature of the signer's own cross-signing key of a usage.
func (x *signer) checkBy(user, keyID string, o, stored *signed.Object, of store.HeldKey, usage string) ([]proof, error) {
	by, ok := x.cross[x.userID][usage]
	switch {
	case !stored.Same(o):
		return nil, invalidSignature("The key is another one.")
	case !ok:
		return nil, invalidSignature("You have no %s key.", usage)
	case !o.Verified(x.userID, by.PublicKey, by.PublicKey):
		return nil, invalidSignature("There is no valid signature of your %s key.", usage)
	}
	return []proof{x.proof(user, keyID, signed.Ed25519+":"+by.PublicKey, o, of, by.held())}, nil
}

// checkMaster wants signatures of the signer's own devices of their master key, all of them valid.
func (x *signer) checkMaster(keyID string, o *signed.Object, of store.HeldKey) (all []proof, err error) {
	for name := range o.Signatures[x.userID] {
		id, ok := strings.CutPrefix(name, signed.Ed25519+":")
		if id == keyID {
			continue // its own
		}
		device, known := x.devices[id]
		if !ok || !known {
			return nil, invalidSignature("You have no device that has the key %s.", name)
		}
		if !o.Verified(x.userID, id, device.object.Keys[name]) {
			return nil, invalidSignature("The signature of %s is not valid.", name)
		}
		all = append(all, x.proof(x.userID, keyID, name, o, of, device.held()))
	}
	if len(all) == 0 {
		return nil, invalidSignature("There is no signature of a device of yours.")
	}
	return all, nil
}

func (x *signer) proof(user, keyID, name string, o *signed.Object, of, by store.HeldKey) proof {
	return proof{store.Signature{
		UserID: user, KeyID: keyID, Signer: x.userID, SignerKey: name, Signature: o.Signatures[x.userID][name],
	}, []store.HeldKey{of, by}}
}

func (d storedDevice) held() store.HeldKey {
	return store.HeldKey{UserID: d.UserID, DeviceID: d.DeviceID, JSON: string(d.JSON)}
}

func (k storedCross) held() store.HeldKey {
	return store.HeldKey{UserID: k.UserID, Usage: k.Usage, JSON: string(k.JSON)}
}
