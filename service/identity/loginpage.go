package identity

import (
	"crypto/sha256"
	_ "embed" // for login.html and login.js
	"encoding/base64"
	"net/http"
	"strings"
)

//go:embed login.html
var loginHTML string

//go:embed login.js
var loginScript string

// getLoginPage is GET /_matrix/static/client/login/ (client-server API, "Login Fallback"): a page that logs in for a client
// that knows none of the server's flows. It calls POST /login as any client does.
func (s *Service) getLoginPage(w http.ResponseWriter, _ *http.Request) error {
	sum := sha256.Sum256([]byte(loginScript))
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; "+
		"form-action 'none'; frame-ancestors 'none'; base-uri 'none'; "+
		"script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = strings.NewReplacer("{{script}}", loginScript).WriteString(w, loginHTML) // nobody is left to tell
	return nil
}
