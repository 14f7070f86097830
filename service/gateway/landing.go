package gateway

import (
	_ "embed" // for landing.html
	"net/http"
)

//go:embed landing.html
var landingPage []byte

// getLandingPage tells people who open the server in a browser what it is.
func (l *local) getLandingPage(w http.ResponseWriter, _ *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(landingPage) // the client went away; nobody is left to tell
	return nil
}
