package gateway

import (
	"errors"
	"net/http"
	"sync/atomic"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

// healthPath is where load balancers ask whether they shall send requests.
const healthPath = "/_hongyan/health"

// health is what load balancers are told of a gateway. Whatever that is, requests that come are answered.
type health struct {
	ready   func() bool // nil for always
	leaving atomic.Bool
}

// starting is an error before the gateway shall get requests. One that leaves is past that.
func (h *health) starting() error {
	if h.leaving.Load() || h.ready == nil || h.ready() {
		return nil
	}
	return matrix.Unavailable(errors.New("this gateway does not know all services yet"))
}

// getHealth is GET /_hongyan/health: 200 where requests shall be sent, 503 before that. While the gateway leaves it is 404, by
// which HAProxy knows (http-check disable-on-404) that it shall send nothing new and let what was sent be answered.
func (l *local) getHealth(w http.ResponseWriter, _ *http.Request) error {
	if l.health.leaving.Load() {
		return matrix.NewError(matrix.CodeNotFound, "This gateway leaves.")
	}
	if err := l.health.starting(); err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]any{"status": "ready"})
	return nil
}
