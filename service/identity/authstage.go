package identity

import (
	"context"
	"errors"
	"slices"

	"hongyan/matrix"
	"hongyan/service/identity/internal/store"
)

// registerFlows are the stages of registration, as configured.
func (s *Service) registerFlows() [][]string {
	var flow []string
	if s.cfg.Registration == RegistrationToken {
		flow = append(flow, stageToken)
	}
	if len(s.cfg.Terms) > 0 {
		flow = append(flow, stageTerms)
	}
	if len(flow) == 0 {
		flow = []string{stageDummy}
	}
	return [][]string{flow}
}

func passwordFlows() [][]string { return [][]string{{stagePassword}} }

// stageError says that a stage was not passed and may be tried again. Other errors end the request.
type stageError struct{ reason *matrix.Error }

func (e *stageError) Error() string { return e.reason.Error() }

// passStage tries the stage that a request is for.
func (s *Service) passStage(ctx context.Context, req authRequest, done []store.Stage) (store.Stage, error) {
	stage := req.body.auth.Type
	next := slices.ContainsFunc(req.flows, func(flow []string) bool {
		return len(flow) > len(done) && begins(flow, done) && flow[len(done)] == stage
	})
	if !next {
		return store.Stage{}, &stageError{
			matrix.NewError(matrix.CodeUnrecognized, "This stage is not one of those that come next."),
		}
	}
	switch stage {
	case stagePassword:
		return s.passPassword(ctx, req)
	case stageToken:
		return s.passToken(ctx, req)
	default: // m.login.dummy needs nothing; m.login.terms is passed by saying so
		return store.Stage{Type: stage}, nil
	}
}

func (s *Service) passPassword(ctx context.Context, req authRequest) (store.Stage, error) {
	named, err := s.identify(req.body.auth.credentials)
	if err != nil {
		return store.Stage{}, err
	}
	if req.userID != "" && named != req.userID {
		return store.Stage{}, matrix.NewError(matrix.CodeForbidden, "The credentials are those of another user.")
	}
	account, err := s.authenticatePassword(ctx, req.body.auth.credentials, req.from)
	var wrong *matrix.Error
	if errors.As(err, &wrong) && wrong.Code == matrix.CodeForbidden {
		return store.Stage{}, &stageError{wrong}
	}
	return store.Stage{Type: stagePassword, Value: account.UserID, PasswordVersion: account.PasswordVersion}, err
}

func (s *Service) passToken(ctx context.Context, req authRequest) (store.Stage, error) {
	token := req.body.auth.Token
	if token == nil {
		return store.Stage{}, matrix.NewError(matrix.CodeMissingParam, "auth.token is missing.")
	}
	valid, err := s.registrationTokenValid(ctx, *token)
	if err != nil {
		return store.Stage{}, err
	}
	if !valid {
		return store.Stage{}, &stageError{errRegistrationToken()}
	}
	return store.Stage{Type: stageToken, Value: *token}, nil
}

// termsParams describes the documents of m.login.terms (definitions/m.login.terms_params.yaml).
func (s *Service) termsParams() map[string]any {
	policies := map[string]any{}
	for _, p := range s.cfg.Terms {
		policy := map[string]any{"version": p.Version}
		for language, text := range p.Languages {
			policy[language] = text
		}
		policies[p.ID] = policy
	}
	return map[string]any{"policies": policies}
}
