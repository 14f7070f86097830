package backup

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/service/keys/internal/backup/store"
)

const (
	basePath    = "/_matrix/client/v3/room_keys"
	versionPath = basePath + "/version"
	keysPath    = basePath + "/keys"
	roomPath    = keysPath + "/{roomId}"
	sessionPath = roomPath + "/{sessionId}"
)

// Bounds of requests with many keys: how long one, or its answer, may take, and how large its body may be in bytes.
const (
	transferTime = 5 * time.Minute
	maxRequest   = 8 << 20
)

// Bindings are the routes with their handlers, for authenticated callers. Those of a nil *Backup are good for their routes.
func (b *Backup) Bindings() []httpx.Binding {
	route := func(method, path string, handler httpx.HandlerFunc) httpx.Binding {
		return httpx.Binding{Route: httpx.Route{Method: method, Path: path, Key: httpx.KeyUser}, Handler: b.answered(handler)}
	}
	long := func(binding httpx.Binding) httpx.Binding {
		binding.Timeout = transferTime
		if binding.Method == http.MethodPut {
			binding.MaxBody = maxRequest
		}
		return binding
	}
	// again marks what may be repeated: the version is made with the request's idempotency key, and no other has its number when it is
	// gone. once marks what may not be: keys that are deleted may have been stored anew meanwhile.
	again := func(binding httpx.Binding) httpx.Binding {
		binding.Idempotent = true
		return binding
	}
	once := func(binding httpx.Binding) httpx.Binding {
		binding.Once = true
		return binding
	}
	get, put, del := http.MethodGet, http.MethodPut, http.MethodDelete
	return []httpx.Binding{
		again(route(http.MethodPost, versionPath, b.postVersion)),
		route(get, versionPath, b.getCurrent),
		route(get, versionPath+"/{version}", b.getVersion),
		route(put, versionPath+"/{version}", b.putVersion),
		again(route(del, versionPath+"/{version}", b.deleteVersion)),

		long(route(put, keysPath, b.putKeys)),
		long(route(get, keysPath, b.getKeys)),
		once(route(del, keysPath, b.deleteKeys)),
		long(route(put, roomPath, b.putRoom)),
		long(route(get, roomPath, b.getKeys)),
		once(route(del, roomPath, b.deleteRoom)),
		route(put, sessionPath, b.putSession),
		route(get, sessionPath, b.getSession),
		once(route(del, sessionPath, b.deleteSession)),
	}
}

// answered makes what the store fails with what clients are answered.
func (b *Backup) answered(handler httpx.HandlerFunc) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := handler(w, r)
		b.metrics.refuse(err)
		var wrong store.WrongVersionError
		switch {
		case errors.As(err, &wrong):
			return matrix.NewError(matrix.CodeWrongRoomKeysVersion, "Wrong backup version.").
				WithField("current_version", versionText(wrong.Current))
		case errors.Is(err, store.ErrNotFound):
			return matrix.NewError(matrix.CodeNotFound, "Unknown backup version.")
		case errors.Is(err, store.ErrFull):
			return matrix.NewError(matrix.CodeResourceLimitExceeded,
				"You have as many backups, or keys in them, as you may have. Delete old backup versions.")
		}
		return err
	}
}

// versionText is what clients call a version.
func versionText(number int64) string { return strconv.FormatInt(number, 10) }

// parseVersion returns the number of a version. What is no version's name is not found.
func parseVersion(text string) (int64, error) {
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || number < 1 || versionText(number) != text {
		return 0, store.ErrNotFound
	}
	return number, nil
}

// target is whose keys of which version, room and session a request is about; the last two may be "".
type target struct {
	userID            string
	version           int64
	roomID, sessionID string
}

// targetOf reads a path below /keys.
func targetOf(r *http.Request) (target, error) {
	t := target{userID: httpx.CallerOf(r).UserID, roomID: r.PathValue("roomId"), sessionID: r.PathValue("sessionId")}
	query := httpx.ReadQuery(r.URL)
	text := query.Required("version")
	if err := query.Err(); err != nil {
		return target{}, err
	}
	if t.roomID != "" {
		if _, err := matrix.ParseRoomID(t.roomID); err != nil {
			return target{}, err
		}
	}
	if err := checkSessionID(t.sessionID); t.sessionID != "" && err != nil {
		return target{}, err
	}
	var err error
	t.version, err = parseVersion(text)
	return t, err
}
