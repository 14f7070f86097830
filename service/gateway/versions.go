package gateway

import (
	"net/http"

	"hongyan/platform/httpx"
)

// specVersions are the versions of the specification that clients may count on. Clients look for one that they know:
// all are listed from the first day, and what is not built answers M_UNRECOGNIZED.
var specVersions = []string{
	"v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10",
	"v1.11", "v1.12", "v1.13", "v1.14", "v1.15", "v1.16", "v1.17", "v1.18", "v1.19",
}

// getVersions is GET /_matrix/client/versions.
func (l *local) getVersions(w http.ResponseWriter, _ *http.Request) error {
	if err := l.health.starting(); err != nil { // many a load balancer asks here
		return err
	}
	features := l.features
	if features == nil {
		features = map[string]bool{}
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]any{"versions": specVersions, "unstable_features": features})
	return nil
}
