package keys

import (
	"context"

	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/service/keys/internal/store"
)

// A client that did not hear that its upload was stored repeats it, and meanwhile keys of it may have been claimed. Each key that was
// uploaded is therefore remembered by its hash, claimed or not: the same key again is done. Another key under the id of one that
// was claimed is taken, as Synapse does; libolm and vodozemac never give an id to two keys of one device.

// rememberUploaded is how many one-time keys of a device are remembered, the newest: vodozemac forgets the private keys of all older
// ones, libolm those of all but 100. Those that nobody has claimed are remembered besides.
const rememberUploaded = 5000

// newKeys are what of an upload's one-time and fallback keys is to be stored.
type newKeys struct {
	rows       []eventlog.Row
	statements []eventlog.Statement
	// keys is how many they are.
	keys int
}

// findNew finds the keys of an upload that were not stored yet.
func (s *Service) findNew(ctx context.Context, up upload) (news newKeys, err error) {
	if err := s.findNewOneTime(ctx, up, &news); err != nil {
		return newKeys{}, err
	}
	if err := s.findNewFallback(ctx, up, &news); err != nil {
		return newKeys{}, err
	}
	return news, nil
}

// findNewOneTime adds the one-time keys of an upload that were not stored yet. Where one of its ids is that of another key, which
// nobody has claimed, the upload is refused.
func (s *Service) findNewOneTime(ctx context.Context, up upload, news *newKeys) error {
	if len(up.oneTime) == 0 {
		return nil
	}
	fresh, reused, hashes, err := s.compareOneTime(ctx, up)
	if err != nil || len(fresh) == 0 {
		return err
	}
	if len(reused) > 0 {
		news.statements = append(news.statements, store.ForgetUploaded(up.userID, up.deviceID, reused, hashes))
	}
	total, newest, err := s.store.OneTimeTotal(ctx, up.userID, up.deviceID)
	if err != nil {
		return err
	}
	if total+len(fresh) > s.cfg.MaxOneTimeKeys {
		return matrix.Errorf(matrix.CodeResourceLimitExceeded, "A device may have %d one-time keys.", s.cfg.MaxOneTimeKeys)
	}
	for _, k := range fresh {
		newest++
		news.rows = append(news.rows, store.OneTimeRow(up.userID, k, newest), store.UploadedRow(up.userID, k, newest))
	}
	news.keys += len(fresh)
	if before := newest - int64(max(rememberUploaded, s.cfg.MaxOneTimeKeys)); before > 0 {
		news.statements = append(news.statements, store.ForgetUploadedBefore(up.userID, up.deviceID, before+1))
	}
	return nil
}

// compareOneTime returns those keys that were not stored yet, and those of them whose id a claimed key had, with the hash of that.
func (s *Service) compareOneTime(ctx context.Context, up upload) (fresh, reused []store.Key, hashes []string, err error) {
	names := make([]string, len(up.oneTime))
	for i, k := range up.oneTime {
		names[i] = k.Name()
	}
	uploaded, err := s.store.UploadedKeys(ctx, up.userID, up.deviceID, names)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, k := range up.oneTime {
		before, ok := uploaded[k.Name()]
		switch {
		case !ok:
			fresh = append(fresh, k)
		case before.JSON != nil && string(before.JSON) != string(k.JSON):
			// Clients read this text, which is Synapse's.
			return nil, nil, nil, matrix.Errorf(matrix.CodeUnknown, "One time key %s:%s already exists. Old key: %s; new key: %s",
				k.Algorithm, k.KeyID, before.JSON, k.JSON)
		case before.JSON == nil && before.Hash != "" && before.Hash != k.Hash():
			fresh, reused, hashes = append(fresh, k), append(reused, k), append(hashes, before.Hash)
		}
	}
	return fresh, reused, hashes, nil
}

// findNewFallback adds the fallback keys of an upload that were not stored yet.
func (s *Service) findNewFallback(ctx context.Context, up upload, news *newKeys) error {
	if len(up.fallback) == 0 {
		return nil
	}
	known, err := s.store.FallbackKeys(ctx, up.userID, up.deviceID)
	if err != nil {
		return err
	}
	stored := make(map[string]store.Key, len(known))
	for _, k := range known {
		stored[k.Algorithm] = k
	}
	for _, k := range up.fallback {
		old, ok := stored[k.Algorithm]
		if ok && old.KeyID == k.KeyID && string(old.JSON) == string(k.JSON) {
			continue // it stays used, if it was
		}
		stored[k.Algorithm] = k
		news.rows = append(news.rows, store.FallbackRow(up.userID, k))
		news.keys++
	}
	if len(stored) > maxFallback {
		return matrix.Errorf(matrix.CodeResourceLimitExceeded, "More than %d fallback keys.", maxFallback)
	}
	return nil
}
