package identity

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for fallback.html
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

//go:embed fallback.html
var fallbackHTML string

var fallbackTemplate = template.Must(template.New("fallback").Parse(fallbackHTML))

// fallbackScript tells the client that opened the page that a stage is complete, in the specification's words.
const fallbackScript = `if (window.onAuthDone) { window.onAuthDone(); } ` +
	`else if (window.opener && window.opener.postMessage) { window.opener.postMessage("authDone", "*"); }`

// fallbackPage is what a page of a stage shows.
type fallbackPage struct {
	Stage string
	// Purpose is what the authentication is for.
	Purpose string
	// UserID is whose password is asked for; empty where the page asks for the name too.
	UserID   string
	Policies []PolicyText
	// Message says what went wrong.
	Message string
	// Closed says that there is nothing to fill in.
	Closed bool
	// Done says that the stage is complete.
	Done   bool
	Script template.JS
}

// getFallback is GET /auth/{authType}/fallback/web (client-server API, "Fallback"): a page on which somebody passes a
// stage that their client does not know.
func (s *Service) getFallback(w http.ResponseWriter, r *http.Request) error {
	page, session, err := s.fallback(r)
	if err != nil {
		return err
	}
	if session == nil {
		return page.write(w, http.StatusNotFound)
	}
	page.Done = session.passed(page.Stage)
	return page.write(w, http.StatusOK)
}

// postFallback is the page's form.
func (s *Service) postFallback(w http.ResponseWriter, r *http.Request) error {
	page, session, err := s.fallback(r)
	if err != nil {
		return err
	}
	if session == nil {
		return page.write(w, http.StatusNotFound)
	}
	if err := r.ParseForm(); err != nil {
		return fmt.Errorf("read form: %w", err)
	}
	if err := s.passFallback(r, page.Stage, session); err != nil {
		return page.refuse(w, err)
	}
	page.Done = true
	return page.write(w, http.StatusOK)
}

// fallback reads which stage of which session a page is for. The session is nil where it is not known any more.
func (s *Service) fallback(r *http.Request) (*fallbackPage, *authSession, error) {
	page := &fallbackPage{Stage: r.PathValue("authType"), Script: fallbackScript}
	if !slices.Contains([]string{stagePassword, stageDummy, stageToken, stageTerms}, page.Stage) {
		return nil, nil, matrix.NewError(matrix.CodeNotFound, "This server has no page for this type of authentication.")
	}
	q := httpx.ReadQuery(r.URL)
	id := q.Required("session")
	if err := q.Err(); err != nil {
		return nil, nil, err
	}
	stored, ok, err := s.store.AuthSession(r.Context(), id, s.nowMs())
	if err != nil {
		return nil, nil, err
	}
	if !ok {
		page.Closed, page.Message = true, "This page has expired. Go back to your client and begin again."
		return page, nil, nil
	}
	page.Purpose, page.UserID = purposeOf(stored.Action), stored.UserID
	for _, p := range s.cfg.Terms {
		page.Policies = append(page.Policies, p.text("en"))
	}
	return page, &authSession{AuthSession: stored}, nil
}

// passFallback passes a stage with what the form holds, and records it in the session. Nothing is known of the request
// that the client will repeat, except that it is the session's: the session is good for one.
func (s *Service) passFallback(r *http.Request, stage string, session *authSession) error {
	if session.passed(stage) {
		return nil
	}
	flows := passwordFlows()
	if session.Action == actionRegister {
		flows = s.registerFlows()
	}
	user := session.UserID
	if user == "" {
		user = r.PostForm.Get("user")
	}
	text, token := r.PostForm.Get("password"), r.PostForm.Get("token")
	from := originOf(r)
	// Only who has the user's token could begin the session.
	from.signedIn = session.UserID != ""
	passed, err := s.passStage(r.Context(), authRequest{
		userID: session.UserID, action: session.Action, flows: flows, from: from,
		body: authBody{auth: authData{Type: stage, credentials: credentials{User: &user, Password: &text, Token: &token}}},
	}, session.Completed)
	if err != nil {
		return err
	}
	return s.store.CompleteStage(r.Context(), session.ID, session.Params, append(slices.Clone(session.Completed), passed))
}

// purposeOf says in words what a session is for.
func purposeOf(action string) string {
	switch {
	case action == actionRegister:
		return "make an account"
	case action == actionPassword:
		return "change your password"
	case action == actionDeactivate:
		return "deactivate your account for ever"
	case action == actionGetToken:
		return "sign in on another device"
	case action == actionDeleteDevices, strings.HasPrefix(action, actionDeleteDevice):
		return "sign out devices"
	}
	return "change how your account is protected"
}

// text returns the policy in a language, or in the first one that it has.
func (p Policy) text(language string) PolicyText {
	if text, ok := p.Languages[language]; ok {
		return text
	}
	first := ""
	for l := range p.Languages {
		if first == "" || l < first {
			first = l
		}
	}
	return p.Languages[first]
}

// refuse answers the page again, with what was wrong.
func (p *fallbackPage) refuse(w http.ResponseWriter, err error) error {
	status := http.StatusUnauthorized
	var failed *stageError
	var e *matrix.Error
	switch {
	case errors.As(err, &failed):
		p.Message = failed.reason.Message
	case errors.As(err, &e) && e.Status < http.StatusInternalServerError && e.RetryAfter == 0:
		p.Message, status = e.Message, e.Status
	default:
		return err
	}
	return p.write(w, status)
}

func (p *fallbackPage) write(w http.ResponseWriter, status int) error {
	var page bytes.Buffer
	if err := fallbackTemplate.Execute(&page, p); err != nil {
		return fmt.Errorf("fallback page: %w", err)
	}
	sum := sha256.Sum256([]byte(fallbackScript))
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "+
		"frame-ancestors 'none'; base-uri 'none'; script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // the client went away; nobody is left to tell
	return nil
}
