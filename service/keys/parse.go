package keys

import (
	"encoding/json"
	"slices"
	"strings"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/platform/httpx"
	"hongyan/service/keys/internal/signed"
	"hongyan/service/keys/internal/store"
)

const (
	// maxName bounds names of algorithms and ids of keys, in bytes.
	maxName = 255
	// maxFallback is how many fallback keys a device may have, each of another algorithm.
	maxFallback = 10
)

func badJSON(format string, args ...any) error {
	return matrix.Errorf(matrix.CodeBadJSON, format, args...)
}

// isNull tells whether a member of a body is missing or null.
func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// parseDevice reads device_keys of an upload; nil where they are missing.
func (s *Service) parseDevice(caller httpx.Caller, raw json.RawMessage) (*signed.Object, error) {
	if isNull(raw) {
		return nil, nil
	}
	if len(raw) > s.cfg.MaxDeviceKeyBytes {
		return nil, matrix.Errorf(matrix.CodeTooLarge, "device_keys is larger than %d bytes.", s.cfg.MaxDeviceKeyBytes)
	}
	o, err := signed.Parse(raw)
	if err != nil {
		return nil, err
	}
	switch {
	case o.UserID != caller.UserID:
		return nil, badJSON("device_keys.user_id is not yours.")
	case o.DeviceID != caller.DeviceID:
		return nil, badJSON("device_keys.device_id is not that of your device.")
	case o.Algorithms == nil:
		return nil, badJSON("device_keys.algorithms is missing.")
	case len(o.Keys) == 0:
		return nil, badJSON("device_keys.keys is missing or empty.")
	case o.Signatures == nil:
		return nil, badJSON("device_keys.signatures is missing.")
	}
	for name, key := range o.Keys {
		if algorithm, ok := strings.CutSuffix(name, ":"+caller.DeviceID); !ok || algorithm == "" || key == "" {
			return nil, badJSON("device_keys.keys must be keys that are named ALGORITHM:DEVICE, after your device.")
		}
	}
	o.Only(caller.UserID)
	return o, nil
}

// parseKeys reads one-time keys or fallback keys, in the order of their names.
func (s *Service) parseKeys(caller httpx.Caller, where string, raw map[string]json.RawMessage) ([]store.Key, error) {
	var keys []store.Key
	for name, value := range raw {
		algorithm, id, ok := strings.Cut(name, ":")
		if !ok || algorithm == "" || id == "" || len(algorithm) > maxName || len(id) > maxName {
			return nil, matrix.Errorf(matrix.CodeInvalidParam, "%s: the name of a key must be ALGORITHM:ID.", where)
		}
		if len(value) > s.cfg.MaxKeyBytes {
			return nil, matrix.Errorf(matrix.CodeTooLarge, "%s: a key is larger than %d bytes.", where, s.cfg.MaxKeyBytes)
		}
		text, err := canonicaljson.Canonicalize(value)
		if err != nil {
			return nil, err
		}
		if err := checkKey(caller, where, algorithm, text); err != nil {
			return nil, err
		}
		keys = append(keys, store.Key{DeviceID: caller.DeviceID, Algorithm: algorithm, KeyID: id, JSON: text})
	}
	slices.SortFunc(keys, func(a, b store.Key) int {
		return strings.Compare(a.Algorithm+":"+a.KeyID, b.Algorithm+":"+b.KeyID)
	})
	return keys, nil
}

// signedPrefix is what the names of those algorithms begin with whose keys are signed by their device.
const signedPrefix = "signed_"

// checkKey wants a string, or an object with a key and signatures; of signed algorithms an object that the device has signed. Whether
// the signature is valid is for those to check who claim the key: they must not trust this server.
func checkKey(caller httpx.Caller, where, algorithm string, value []byte) error {
	mustBeSigned := strings.HasPrefix(algorithm, signedPrefix)
	if value[0] == '"' && !mustBeSigned {
		if string(value) == `""` {
			return badJSON("%s: a key is empty.", where)
		}
		return nil
	}
	// Not a struct: encoding/json would take "KEY" for "key".
	var members map[string]json.RawMessage
	var key string
	var signatures signed.Signatures
	if value[0] != '{' || json.Unmarshal(value, &members) != nil || members["key"] == nil || members["signatures"] == nil ||
		json.Unmarshal(members["key"], &key) != nil || json.Unmarshal(members["signatures"], &signatures) != nil ||
		key == "" || signatures == nil {
		return badJSON("%s: a key of %s must be an object with key and signatures.", where, algorithm)
	}
	if mustBeSigned && signatures[caller.UserID][signed.Ed25519+":"+caller.DeviceID] == "" {
		return badJSON("%s: a key of %s must have a signature of your device.", where, algorithm)
	}
	return nil
}

// parseFallback reads fallback keys, of which each algorithm has one.
func (s *Service) parseFallback(caller httpx.Caller, raw map[string]json.RawMessage) ([]store.Key, error) {
	keys, err := s.parseKeys(caller, "fallback_keys", raw)
	if err != nil {
		return nil, err
	}
	for i := 1; i < len(keys); i++ {
		if keys[i].Algorithm == keys[i-1].Algorithm {
			return nil, matrix.Errorf(matrix.CodeInvalidParam, "fallback_keys has two keys of %s.", keys[i].Algorithm)
		}
	}
	return keys, nil
}

// split groups user ids by whether this server has them, and names the servers of the others. What is no user id is M_INVALID_PARAM.
func (s *Service) split(userIDs []string) (local []string, servers map[matrix.ServerName]bool, err error) {
	servers = map[matrix.ServerName]bool{}
	for _, raw := range userIDs {
		id, err := matrix.ParseUserID(raw)
		if err != nil {
			return nil, nil, err
		}
		if server := id.Server(); server != s.deps.Server {
			servers[server] = true
		} else {
			local = append(local, raw)
		}
	}
	slices.Sort(local)
	return local, servers, nil
}

// failures are what is answered of other servers' users: this one speaks to no other.
func failures(servers map[matrix.ServerName]bool) map[string]any {
	all := map[string]any{}
	for server := range servers {
		all[string(server)] = map[string]any{"errcode": matrix.CodeUnknown, "error": "This server does not speak to others."}
	}
	return all
}
