package gateway

import "net/http"

// Header values that every answer shares; net/http only reads them.
var (
	corsOrigin  = []string{"*"}
	corsMethods = []string{"GET, POST, PUT, DELETE, OPTIONS"}
	corsHeaders = []string{"X-Requested-With, Content-Type, Authorization"}
	corsExpose  = []string{"Retry-After, X-Request-Id"}
	corsMaxAge  = []string{"86400"}
)

// setCORS says that web pages of any origin may read the answer (client-server API, "Web Browser Clients").
func setCORS(h http.Header) {
	h["Access-Control-Allow-Origin"] = corsOrigin
	h["Access-Control-Allow-Methods"] = corsMethods
	h["Access-Control-Allow-Headers"] = corsHeaders
	h["Access-Control-Expose-Headers"] = corsExpose
}

// setHeader makes the header of an answer what it is at the beginning.
func setHeader(h http.Header, id string) {
	clear(h)
	setCORS(h)
	h["X-Request-Id"] = []string{id}
}

// preflight answers OPTIONS, on any path and without any logic of the endpoint.
func preflight(w http.ResponseWriter) {
	w.Header()["Access-Control-Max-Age"] = corsMaxAge
	w.WriteHeader(http.StatusNoContent)
}
