package identity_test

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/service/identity"
)

// page is a fallback page as a browser has it.
type page struct {
	t      testing.TB
	status int
	header http.Header
	text   string
}

func fallbackPath(stage, session string) string {
	return v3 + "/auth/" + stage + "/fallback/web?session=" + url.QueryEscape(session)
}

// browse opens a fallback page, or sends its form.
func (g *rig) browse(stage, session string, form url.Values) *page {
	g.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(g.Context(), method, g.url+fallbackPath(stage, session), body)
	require.NoError(g, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(g, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(g, err)
	require.Equal(g, "text/html; charset=utf-8", resp.Header.Get("Content-Type"), string(raw))
	return &page{t: g, status: resp.StatusCode, header: resp.Header, text: string(raw)}
}

// asks requires a form, and parts of the page.
func (p *page) asks(status int, parts ...string) {
	p.t.Helper()
	require.Equal(p.t, status, p.status, p.text)
	require.Contains(p.t, p.text, `<form method="post">`)
	require.NotContains(p.t, p.text, "onAuthDone")
	for _, part := range parts {
		require.Contains(p.t, p.text, part)
	}
}

var scripts = regexp.MustCompile(`(?s)<script>(.*)</script>`)

// done requires that the client is told, by a script that the policy of the page lets run.
func (p *page) done() {
	p.t.Helper()
	require.Equal(p.t, http.StatusOK, p.status, p.text)
	require.NotContains(p.t, p.text, "<form")
	script := scripts.FindStringSubmatch(p.text)
	require.NotNil(p.t, script, p.text)
	require.Contains(p.t, script[1], "window.onAuthDone();")
	require.Contains(p.t, script[1], `window.opener.postMessage("authDone", "*");`)
	sum := sha256.Sum256([]byte(script[1]))
	require.Contains(p.t, p.header.Get("Content-Security-Policy"),
		"script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
}

// A client that knows no stage at all registers: its user passes them in a browser.
func TestFallbackOfRegistration(t *testing.T) {
	onBoth(t, func(c *identity.Config) {
		tokenMode(c)
		c.Terms = []identity.Policy{{ID: "terms", Version: "1", Languages: map[string]identity.PolicyText{
			"en": {Name: "Rules <here>", URL: "https://hs/terms"}, "de": {Name: "Regeln", URL: "https://hs/regeln"},
		}}}
	}, func(t *testing.T, g *rig) {
		const token, terms = "m.login.registration_token", "m.login.terms"
		body := obj{"username": "alice", "password": secret}
		session := g.post("", v3+"/register", body).challenged("", token, terms)
		body["auth"] = obj{"session": session}

		g.browse(token, session, nil).asks(200, "make an account", `name="token"`)
		g.browse(terms, session, nil).asks(200, "Rules &lt;here&gt;", "https://hs/terms")
		g.browse(terms, session, url.Values{}).asks(401, "not one of those that come next")
		g.browse(token, session, url.Values{"token": {"wrong"}}).asks(401, "The registration token is not valid.")
		g.browse(token, session, url.Values{}).asks(401, "The registration token is not valid.")
		g.post("", v3+"/register", body).challenged("", token, terms)

		g.browse(token, session, url.Values{"token": {"forever"}}).done()
		g.browse(token, session, nil).done()
		g.browse(token, session, url.Values{"token": {"wrong"}}).done() // a stage is not retried
		half := g.post("", v3+"/register", body)
		require.Equal(t, session, half.challenged("", token, terms))
		require.Equal(t, []any{token}, half.body["completed"])
		g.browse(terms, session, url.Values{}).done()
		require.Equal(t, "@alice:hs", g.post("", v3+"/register", body).ok().text("user_id"))

		// The session was good for one account.
		body["username"] = "bob"
		g.post("", v3+"/register", body).challenged(matrix.CodeForbidden, token, terms)
	})
}

func TestFallbackOfPassword(t *testing.T) {
	onBoth(t, nil, func(_ *testing.T, g *rig) {
		const stage, path = "m.login.password", "/_matrix/client/v1/login/get_token"
		u := g.register("alice")
		session := g.post(u.token, path, obj{}).challenged("", stage)
		again := obj{"auth": obj{"session": session}}
		g.browse(stage, session, nil).asks(200, "sign in on another device", "@alice:hs", `name="password"`)
		g.browse(stage, session, url.Values{"password": {"wrong"}}).asks(401, "Invalid user name or password.")
		g.browse(stage, session, url.Values{"user": {"bob"}, "password": {secret}}).done() // the name is not the form's to say
		g.post(u.token, path, again).ok().text("login_token")
		g.post(u.token, path, again).challenged(matrix.CodeForbidden, stage)

		// Without an access token the page asks who it is.
		body := obj{"new_password": "new secret"}
		session = g.post("", v3+"/account/password", body).challenged("", stage)
		g.browse(stage, session, nil).asks(200, "change your password", `name="user"`)
		g.browse(stage, session, url.Values{"password": {secret}}).asks(401, "Invalid user name or password.")
		g.browse(stage, session, url.Values{"user": {"Alice"}, "password": {secret}}).done()
		body["auth"] = obj{"session": session}
		g.post("", v3+"/account/password", body).ok()
		g.login("alice", obj{"password": "new secret"}).ok()
	})
}

func TestFallbackErrors(t *testing.T) {
	g := onSQLite(t, nil)
	session := g.post("", v3+"/register", obj{}).challenged("", "m.login.dummy")
	g.get("", fallbackPath("m.login.recaptcha", session)).fails(404, matrix.CodeNotFound)
	g.get("", v3+"/auth/m.login.dummy/fallback/web").fails(400, matrix.CodeMissingParam)
	for _, form := range []url.Values{nil, {}} {
		p := g.browse("m.login.dummy", "unknown", form)
		require.Equal(t, http.StatusNotFound, p.status)
		require.Contains(t, p.text, "expired")
		require.NotContains(t, p.text, "<form")
	}
	g.browse("m.login.dummy", session, url.Values{}).done()
	g.post("", v3+"/register", obj{"username": "alice", "password": secret, "auth": obj{"session": session}}).ok()
	require.Equal(t, http.StatusNotFound, g.browse("m.login.dummy", session, nil).status)

	session = g.post("", v3+"/register", obj{}).challenged("", "m.login.dummy")
	g.clock.add(testConfig().Auth.Lifetime)
	require.Equal(t, http.StatusNotFound, g.browse("m.login.dummy", session, nil).status)
}
