package backup

import (
	"encoding/json"
	"net/http"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/service/keys/internal/backup/store"
)

// versionAnswer is a version as clients get it.
type versionAnswer struct {
	Algorithm string          `json:"algorithm"`
	AuthData  json.RawMessage `json:"auth_data"`
	stateAnswer
	Version string `json:"version"`
}

// stateAnswer says what is in a version.
type stateAnswer struct {
	Count int64  `json:"count"`
	ETag  string `json:"etag"`
}

func stateOf(s store.State) stateAnswer {
	return stateAnswer{Count: s.Count, ETag: versionText(s.ETag)}
}

// postVersion answers POST /room_keys/version.
func (b *Backup) postVersion(w http.ResponseWriter, r *http.Request) error {
	caller := httpx.CallerOf(r)
	body, err := readVersion(r)
	if err != nil {
		return err
	}
	number, err := b.store.Create(r.Context(), caller.UserID, *body.Algorithm, string(body.AuthData), caller.IdempotencyKey, b.cfg.limits())
	if err != nil {
		return err
	}
	b.metrics.made.Inc()
	httpx.WriteJSON(w, http.StatusOK, map[string]string{"version": versionText(number)})
	return nil
}

// getCurrent answers GET /room_keys/version.
func (b *Backup) getCurrent(w http.ResponseWriter, r *http.Request) error {
	v, err := b.store.Current(r.Context(), httpx.CallerOf(r).UserID)
	return answerVersion(w, v, err)
}

// getVersion answers GET /room_keys/version/{version}.
func (b *Backup) getVersion(w http.ResponseWriter, r *http.Request) error {
	number, err := parseVersion(r.PathValue("version"))
	if err != nil {
		return err
	}
	v, err := b.store.Version(r.Context(), httpx.CallerOf(r).UserID, number)
	return answerVersion(w, v, err)
}

func answerVersion(w http.ResponseWriter, v store.Version, err error) error {
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, versionAnswer{
		Algorithm: v.Algorithm, AuthData: json.RawMessage(v.AuthData), stateAnswer: stateOf(v.State), Version: versionText(v.Number),
	})
	return nil
}

// putVersion answers PUT /room_keys/version/{version}.
func (b *Backup) putVersion(w http.ResponseWriter, r *http.Request) error {
	userID, text := httpx.CallerOf(r).UserID, r.PathValue("version")
	body, err := readVersion(r)
	if err != nil {
		return err
	}
	if body.Version != nil && *body.Version != text {
		return matrix.NewError(matrix.CodeInvalidParam, "The version in the body is not the one in the path.")
	}
	number, err := parseVersion(text)
	if err != nil {
		return err
	}
	v, err := b.store.Version(r.Context(), userID, number)
	if err != nil {
		return err
	}
	if v.Algorithm != *body.Algorithm {
		return matrix.NewError(matrix.CodeInvalidParam, "Algorithm does not match.")
	}
	if err := b.store.Update(r.Context(), userID, number, v.Algorithm, string(body.AuthData)); err != nil {
		return err
	}
	return done(w)
}

// deleteVersion answers DELETE /room_keys/version/{version}.
func (b *Backup) deleteVersion(w http.ResponseWriter, r *http.Request) error {
	number, err := parseVersion(r.PathValue("version"))
	if err != nil {
		return err
	}
	if err := b.store.Delete(r.Context(), httpx.CallerOf(r).UserID, number); err != nil {
		return err
	}
	b.metrics.deleted.Inc()
	b.wake()
	return done(w)
}

// done is the answer to what succeeded and has nothing to say.
func done(w http.ResponseWriter) error {
	httpx.WriteRawJSON(w, http.StatusOK, []byte("{}"))
	return nil
}
