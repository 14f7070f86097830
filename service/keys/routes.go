package keys

import (
	"net/http"
	"slices"

	"hongyan/platform/httpx"
	"hongyan/service/keys/internal/backup"
)

const (
	clientPath        = "/_matrix/client/v3"
	deviceSigningPath = clientPath + "/keys/device_signing/upload"
)

// maxList is the largest body of a request that names many users, in bytes.
const maxList = 2 << 20

// bindings are the routes with their handlers.
func (s *Service) bindings() []httpx.Binding {
	var backups *backup.Backup // nil for the routes alone
	if s != nil {
		backups = s.backup
	}
	return slices.Concat(s.keyBindings(), s.changesBindings(), s.toDeviceBindings(), backups.Bindings())
}

// keyBindings are for the instance that owns the caller, which changes their keys one after the other.
func (s *Service) keyBindings() []httpx.Binding {
	post := func(path string, maxBody int64, handler httpx.HandlerFunc) httpx.Binding {
		return httpx.Binding{
			// Queries change nothing, and what is written is written with its idempotency key. A repeated claim takes other keys: those
			// of the first attempt are lost, which harms less than a message that nobody can read.
			Route: httpx.Route{Method: http.MethodPost, Path: path, Key: httpx.KeyUser, MaxBody: maxBody, Idempotent: true},
			Handler: func(w http.ResponseWriter, r *http.Request) error {
				return apiError(handler(w, r))
			},
		}
	}
	return []httpx.Binding{
		post(clientPath+"/keys/claim", maxList, s.postClaim),
		post(clientPath+"/keys/upload", 0, s.postUpload),
		post(clientPath+"/keys/query", maxList, s.postQuery),
		post(deviceSigningPath, 0, s.postDeviceSigning),
		post(clientPath+"/keys/signatures/upload", maxList, s.postSignatures),
	}
}
