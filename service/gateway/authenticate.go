package gateway

import (
	"context"
	"errors"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

// authenticate finds out who calls, and refuses who may not call this route.
func (s *Service) authenticate(ctx context.Context, q *request) error {
	route := q.endpoint.route
	if q.token == "" {
		if route.Auth == httpx.AuthOptional {
			return nil
		}
		return matrix.NewError(matrix.CodeMissingToken, "Missing access token.")
	}
	session, err := s.sessions.get(ctx, q.token, q.address, func() error {
		err := s.limits.mayTryToken(q.address)
		if err != nil {
			s.metrics.limit("token", "address")
		}
		return err
	})
	if err != nil {
		if refusal := (*matrix.Error)(nil); errors.As(err, &refusal) && refusal.Code == matrix.CodeUnknownToken {
			s.limits.countBadToken(q.address)
		}
		return err
	}
	if session.GetLocked() && route.Auth != httpx.AuthLocked {
		return matrix.NewError(matrix.CodeUserLocked, "This account has been locked.").WithField("soft_logout", true)
	}
	if session.GetGuest() && !q.endpoint.guests {
		if route.Auth == httpx.AuthOptional { // what nobody needs a token for is open to guests too, as to anybody
			return nil
		}
		return errGuest()
	}
	q.session = session
	return nil
}
