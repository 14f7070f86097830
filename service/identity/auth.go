package identity

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"hongyan/matrix"
	"hongyan/service/identity/internal/store"
)

// Stages of user-interactive authentication that are served (client-server API, "Authentication types").
const (
	stagePassword = "m.login.password"
	stageDummy    = "m.login.dummy"
	stageToken    = "m.login.registration_token"
	stageTerms    = "m.login.terms"
)

// Actions are what a session is for: a method and a path. A session cannot be used for another one.
const (
	actionRegister      = "POST /_matrix/client/v3/register"
	actionPassword      = "POST /_matrix/client/v3/account/password"
	actionDeactivate    = "POST /_matrix/client/v3/account/deactivate"
	actionDeleteDevices = "POST /_matrix/client/v3/delete_devices"
	actionDeleteDevice  = "DELETE /_matrix/client/v3/devices/" // and the device
	actionGetToken      = "POST /_matrix/client/v1/login/get_token"
)

// authRequest is a request that needs user-interactive authentication.
type authRequest struct {
	// userID is who calls; empty where nobody is authenticated.
	userID string
	action string
	body   authBody
	// flows are the sequences of stages, one of which must be passed.
	flows [][]string
	// from is where the request comes from.
	from origin
}

// authPassed is what was found out on the way.
type authPassed struct {
	// userID is who passed: the caller, or the user whom the password stage named.
	userID string
	// passwordVersion is the version of the password that was proven.
	passwordVersion int64
	stages          []store.Stage
}

// value is what was proven in a stage, or empty.
func (p authPassed) value(stage string) string {
	for _, x := range p.stages {
		if x.Type == stage {
			return x.Value
		}
	}
	return ""
}

// challenge is the answer that asks for (more) authentication: 401 with flows, params and session.
type challenge struct {
	body map[string]any
}

func (c *challenge) Error() string { return "more authentication is needed" }

// requireAuth does what can be done with one request. It returns a *challenge where stages are missing or have failed,
// and an API error where another try of the same would not help.
func (s *Service) requireAuth(ctx context.Context, req authRequest) (authPassed, error) {
	auth := req.body.auth
	session, err := s.authSession(ctx, req)
	if err != nil {
		return authPassed{}, err
	}
	proven := auth.Type == "" || session.passed(auth.Type)
	if !proven {
		stage, err := s.passStage(ctx, req, session.Completed)
		var failed *stageError
		if errors.As(err, &failed) {
			return authPassed{}, s.challenge(ctx, req, session, failed.reason)
		}
		if err != nil {
			return authPassed{}, err
		}
		session.Completed = append(session.Completed, stage)
		session.Params, session.changed = req.body.params, true
	}
	if !completes(req.flows, session.Completed) {
		return authPassed{}, s.challenge(ctx, req, session, nil)
	}
	if proven {
		if err := s.consume(ctx, req, session); err != nil {
			return authPassed{}, err
		}
	}
	passed := authPassed{userID: req.userID, stages: session.Completed}
	for _, x := range passed.stages {
		if x.Type == stagePassword {
			passed.userID, passed.passwordVersion = x.Value, x.PasswordVersion
		}
	}
	return passed, nil
}

// checkAuth is requireAuth for what another service will do at once.
func (s *Service) checkAuth(ctx context.Context, req authRequest) error {
	passed, err := s.requireAuth(ctx, req)
	if err != nil {
		return err
	}
	return s.changeProven(ctx, req, passed, func(context.Context, store.Account) (*change, error) { return nil, nil })
}

// errStaleProof says that the password that was proven is no longer the account's.
var errStaleProof = errors.New("the password was changed meanwhile")

// changeProven is change for who has passed the password stage: of the password that the account has when the change is
// committed. Where that is another one by then, the answer asks for authentication anew.
func (s *Service) changeProven(
	ctx context.Context, req authRequest, passed authPassed, decide func(context.Context, store.Account) (*change, error),
) error {
	err := s.change(ctx, passed.userID, func(ctx context.Context, account store.Account) (*change, error) {
		if account.PasswordVersion != passed.passwordVersion {
			return nil, errStaleProof
		}
		return decide(ctx, account)
	})
	if errors.Is(err, errStaleProof) {
		fresh := &authSession{AuthSession: store.AuthSession{UserID: req.userID, Action: req.action}}
		return s.challenge(ctx, req, fresh, errCredentials())
	}
	return err
}

func errSession() *matrix.Error {
	return matrix.NewError(matrix.CodeForbidden, "The session is not known or has expired. Begin again.")
}

// authSession is a stored session, or one that has no id yet.
type authSession struct {
	store.AuthSession
	changed bool
}

func (x *authSession) passed(stage string) bool {
	return slices.ContainsFunc(x.Completed, func(y store.Stage) bool { return y.Type == stage })
}

// authSession returns the session that a request names, if it is this request's, and a new one where it names none. One
// that is not known any more is answered with a challenge for a new one.
func (s *Service) authSession(ctx context.Context, req authRequest) (*authSession, error) {
	fresh := &authSession{AuthSession: store.AuthSession{UserID: req.userID, Action: req.action}}
	if req.body.auth.Session == "" {
		return fresh, nil
	}
	old, ok, err := s.store.AuthSession(ctx, req.body.auth.Session, s.nowMs())
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, s.challenge(ctx, req, fresh, errSession())
	}
	// From the first passed stage on the request must stay what it was: nobody agrees to one and gets another.
	if old.Action != req.action || old.UserID != req.userID || old.Params != nil && !bytes.Equal(old.Params, req.body.params) {
		return nil, matrix.NewError(matrix.CodeForbidden, "The session was begun for another request.")
	}
	return &authSession{AuthSession: old}, nil
}

// challenge stores how far a session is and returns the answer that asks for what is missing. failure, where not nil,
// says why the last stage was not passed.
func (s *Service) challenge(ctx context.Context, req authRequest, session *authSession, failure *matrix.Error) error {
	if err := s.storeSession(ctx, session); err != nil {
		return err
	}
	flows := make([]map[string][]string, len(req.flows))
	params := map[string]any{}
	for i, stages := range req.flows {
		flows[i] = map[string][]string{"stages": stages}
		if slices.Contains(stages, stageTerms) {
			params[stageTerms] = s.termsParams()
		}
	}
	body := map[string]any{"flows": flows, "params": params, "session": session.ID}
	if len(session.Completed) > 0 {
		completed := make([]string, len(session.Completed))
		for i, x := range session.Completed {
			completed[i] = x.Type
		}
		body["completed"] = completed
	}
	if failure != nil {
		body["errcode"], body["error"] = failure.Code, failure.Message
	}
	return &challenge{body: body}
}

// consume ends a session that was complete before the request that it lets through: its stages prove no second one.
func (s *Service) consume(ctx context.Context, req authRequest, session *authSession) error {
	mine, err := s.store.TakeAuthSession(ctx, session.ID)
	if err != nil || mine {
		return err
	}
	fresh := &authSession{AuthSession: store.AuthSession{UserID: req.userID, Action: req.action}}
	return s.challenge(ctx, req, fresh, errSession())
}

func (s *Service) storeSession(ctx context.Context, session *authSession) error {
	if session.ID != "" {
		if !session.changed {
			return nil
		}
		return s.store.CompleteStage(ctx, session.ID, session.Params, session.Completed)
	}
	id, err := s.randomID(18)
	if err != nil {
		return err
	}
	session.ID, session.CreatedMs, session.ExpiresMs = id, s.nowMs(), s.expiryMs(s.cfg.Auth.Lifetime)
	return s.store.AddAuthSession(ctx, session.AuthSession, s.cfg.Auth.MaxPerUser)
}

// completes reports whether the stages are one of the flows.
func completes(flows [][]string, done []store.Stage) bool {
	return slices.ContainsFunc(flows, func(flow []string) bool { return len(flow) == len(done) && begins(flow, done) })
}

// begins reports whether a flow begins with the stages.
func begins(flow []string, done []store.Stage) bool {
	return len(flow) >= len(done) &&
		slices.EqualFunc(flow[:len(done)], done, func(a string, b store.Stage) bool { return a == b.Type })
}
