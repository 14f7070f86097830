package app

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/matrix"
	"hongyan/platform/discovery"
	"hongyan/platform/httpx"
	"hongyan/platform/obs"
	"hongyan/service/gateway"
)

const (
	// adminAuto as admin_listen is adminDefault, or a free port of this machine where that is taken.
	adminAuto    = "auto"
	adminDefault = "localhost:9008"
	adminFree    = "localhost:0"
)

// newAdminListener builds what monitoring and operators read; it opens no port.
func (a *App) newAdminListener() *gateway.Listener {
	mux := http.NewServeMux()
	mux.Handle("/", obs.AdminHandler(a.health, a.opts.Gatherer))
	serveTopology(mux, a.b.cluster)
	mux.Handle(discovery.Path, discovery.Handler(a.b.cluster.Directory()))
	return gateway.NewListener("admin listener", withToken(mux, a.cfg.AdminToken, a.cfg.AdminOpen), nil)
}

// listenAdminHTTP opens the port of the admin listener.
func (a *App) listenAdminHTTP(ctx context.Context) error {
	open, err := openAdmin(ctx, a.b.admin, a.cfg.AdminListen, adminDefault)
	if !open {
		a.b.admin = nil
	}
	return err
}

// openAdmin opens an address; where that is adminAuto, standard or, where it is taken, a free port of this machine. Where
// neither can be had it is not open, which is no error: nobody asked for it, and it is no reason not to serve.
func openAdmin(ctx context.Context, l *gateway.Listener, address, standard string) (open bool, err error) {
	if address != adminAuto {
		return true, l.Listen(ctx, address)
	}
	err = l.Listen(ctx, standard)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err = l.Listen(ctx, adminFree); err == nil {
			logx.Infof("%s is taken: metrics and health are on %s", standard, l.Addr())
		}
	}
	if err != nil {
		logx.Errorf("no metrics and health: %v", err)
	}
	return err == nil, nil
}

// AdminAddr is where monitoring reaches the server, once it is ready; nil for nowhere.
func (a *App) AdminAddr() net.Addr { return a.b.adminAddr() }

// isOwnName tells whether a Host header is one that a web page elsewhere cannot have made a name of this machine: an address,
// localhost, or a name without a dot, as orchestrators give.
func isOwnName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || !strings.Contains(strings.TrimSuffix(host, "."), ".") || strings.HasSuffix(host, ".localhost")
}

// withToken answers only who shows the token: as a bearer token, or as a browser's password. What tells whether the process
// is well is for everybody: orchestrators keep no secrets.
func withToken(next http.Handler, token obs.Secret, open bool) http.Handler {
	if token == "" && open {
		return next
	}
	if token == "" { // on this machine only: what a page in somebody's browser gets to is not meant
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !isOwnName(r.Host) {
				httpx.WriteError(w, r, matrix.NewError(matrix.CodeForbidden, "Ask by address: this has no name to others."))
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	want := sha256.Sum256([]byte(token.Reveal()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, shown, basic := r.BasicAuth()
		if !basic {
			if scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
				shown = value
			}
		}
		got := sha256.Sum256([]byte(shown))
		public := r.URL.Path == "/healthz" || r.URL.Path == "/readyz"
		if !public && subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="hongyan"`)
			httpx.WriteError(w, r, matrix.NewError(matrix.CodeMissingToken, "admin_token is wanted."))
			return
		}
		next.ServeHTTP(w, r)
	})
}
