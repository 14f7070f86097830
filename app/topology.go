package app

import (
	_ "embed" // for the page
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"

	nodepb "hongyan/api/node"
	"hongyan/platform/cluster"
	"hongyan/platform/httpx"
	"hongyan/service/gateway"
)

//go:embed topology.html
var topologyPage []byte

//go:embed topology.js
var topologyScript []byte

// serveTopology adds the page that shows the deployment live, and what it shows as JSON, to what monitoring reads.
func serveTopology(mux *http.ServeMux, c *cluster.Cluster) {
	static := func(contentType string, content []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h.Set("Content-Type", contentType)
			h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; "+
				"frame-ancestors 'none'; base-uri 'none'")
			h.Set("X-Content-Type-Options", "nosniff")
			_, _ = w.Write(content) // the client went away; nobody is left to tell
		}
	}
	mux.HandleFunc("GET /topology", static("text/html; charset=utf-8", topologyPage))
	mux.HandleFunc("GET /topology.js", static("text/javascript; charset=utf-8", topologyScript))
	mux.HandleFunc("GET /topology.json", func(w http.ResponseWriter, r *http.Request) {
		raw, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(c.Topology(r.Context()))
		if err != nil {
			httpx.WriteError(w, r, err)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		httpx.WriteRawJSON(w, http.StatusOK, raw)
	})
}

// publicTraffic is what clients asked of a gateway, and what of it stayed in this process.
func publicTraffic(s *gateway.Service) func() []*nodepb.Traffic {
	return func() []*nodepb.Traffic {
		public := &nodepb.Traffic{Service: "gateway", Kind: "public"}
		all := []*nodepb.Traffic{public}
		var weighted float64
		for _, t := range s.Traffic() {
			public.Calls += t.Calls
			public.Errors += t.Errors
			weighted += float64(t.Calls) * float64(t.Latency.Microseconds())
			if !t.Remote && t.Service != "gateway" && t.Calls > 0 {
				all = append(all, &nodepb.Traffic{
					Service: t.Service, Kind: "http", Calls: t.Calls, Errors: t.Errors, LatencyUs: t.Latency.Microseconds(),
				})
			}
		}
		if public.Calls > 0 {
			public.LatencyUs = int64(weighted / float64(public.Calls))
		}
		return all
	}
}
