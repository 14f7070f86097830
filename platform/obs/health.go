package obs

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Health gathers what must be ready before a process is: /readyz answers 200 only then. The zero value has no
// parts and is not ready before SetReady(true).
type Health struct {
	mu    sync.RWMutex
	ready bool
	parts map[string]func() error
}

// Check adds a named part. check returns why it is not ready, or nil; it is called for each /readyz and must be quick.
func (h *Health) Check(name string, check func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.parts == nil {
		h.parts = map[string]func() error{}
	}
	h.parts[name] = check
}

// SetReady says whether the process as a whole takes work: false until everything runs, and again while draining.
func (h *Health) SetReady(ready bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready = ready
}

// Ready returns whether the process takes work, and why each part that does not is not ready.
func (h *Health) Ready() (bool, map[string]string) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	ok, why := h.ready, map[string]string{}
	for name, check := range h.parts {
		if err := check(); err != nil {
			ok = false
			why[name] = err.Error()
		}
	}
	return ok, why
}

// AdminHandler serves what monitoring reads, for a listener that is not public: /healthz (the process answers),
// /readyz (it takes work, else 503 with the reasons), /metrics, and profiles at /debug/pprof/. gatherer is the default registry where nil.
func AdminHandler(h *Health, gatherer prometheus.Gatherer) http.Handler {
	if gatherer == nil {
		gatherer = prometheus.DefaultGatherer
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		ok, why := h.Ready()
		if ok {
			answer(w, http.StatusOK, map[string]any{"status": "ready"})
			return
		}
		answer(w, http.StatusServiceUnavailable, map[string]any{"status": "not ready", "parts": why})
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound) // flags may be secrets
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}))
	return mux
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client went away; nobody is left to tell
}
