package identity

import (
	"context"
	"errors"

	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/service/identity/internal/store"
)

// authenticate returns whose access token it is. It is one query, except when a pair of tokens is used for the first
// time after a refresh: that ends the pair which it replaces.
func (s *Service) authenticate(ctx context.Context, token, remote string) (store.Access, error) {
	if token == "" {
		return store.Access{}, matrix.NewError(matrix.CodeMissingToken, "The access token is missing.")
	}
	hash := hashSecret(token)
	for attempt := range maxAttempts {
		a, ok, err := s.store.ByAccessHash(ctx, hash)
		if err != nil {
			return store.Access{}, err
		}
		if !ok {
			return store.Access{}, errUnknownToken("The access token is not known.")
		}
		now := s.nowMs()
		if a.Revoked || a.ExpiresMs != 0 && a.ExpiresMs <= now {
			return store.Access{}, softLogout("The access token has expired.")
		}
		if a.Parent != "" {
			err := s.store.Exec(ctx, append([]eventlog.Statement{store.BumpVersion(a.UserID)}, store.Promote(a.Token)...)...)
			if errors.Is(err, eventlog.ErrConflict) { // another request was first
				if err := pause(ctx, attempt); err != nil {
					return store.Access{}, err
				}
				continue
			}
			if err != nil {
				return store.Access{}, err
			}
		}
		s.seen.note(store.Seen{UserID: a.UserID, DeviceID: a.DeviceID, Ms: now, IP: remote})
		return a, nil
	}
	return store.Access{}, matrix.Unavailable(eventlog.ErrConflict)
}
