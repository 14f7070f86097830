package identity

import (
	"context"

	identitypb "hongyan/api/identity"
	"hongyan/matrix"
	"hongyan/service/identity/internal/store"
)

// maxPage is how many rows a list of the administration gives.
const maxPage = 1000

// adminServer serves hongyan.identity.v1.Admin to the operator of the machine.
type adminServer struct {
	identitypb.UnimplementedAdminServer
	s *Service
}

// AddUser implements identitypb.AdminServer.
func (g adminServer) AddUser(ctx context.Context, req *identitypb.AddUserRequest) (*identitypb.AddUserResponse, error) {
	id, err := g.user(req.GetName())
	if err != nil {
		return nil, apiError(err)
	}
	localpart := matrix.UserID(id).Localpart()
	if err := g.s.checkName(ctx, localpart); err != nil {
		return nil, apiError(err)
	}
	if err := g.s.checkPassword(req.GetPassword()); err != nil {
		return nil, apiError(err)
	}
	userID, _, err := g.s.create(ctx, newAccount{localpart: localpart, password: req.GetPassword(), admin: req.GetAdmin()})
	if err != nil {
		return nil, apiError(err)
	}
	return &identitypb.AddUserResponse{UserId: userID}, nil
}

// SetPassword implements identitypb.AdminServer.
func (g adminServer) SetPassword(ctx context.Context, req *identitypb.SetPasswordRequest) (*identitypb.SetPasswordResponse, error) {
	id, err := g.user(req.GetName())
	if err != nil {
		return nil, apiError(err)
	}
	if err := g.s.checkPassword(req.GetPassword()); err != nil {
		return nil, apiError(err)
	}
	return &identitypb.SetPasswordResponse{}, apiError(g.s.setPassword(ctx, id, req.GetPassword(), req.GetLogoutDevices()))
}

// ListUsers implements identitypb.AdminServer.
func (g adminServer) ListUsers(ctx context.Context, req *identitypb.ListUsersRequest) (*identitypb.ListUsersResponse, error) {
	accounts, err := g.s.store.ListAccounts(ctx, req.GetAfter(), page(req.GetLimit()))
	if err != nil {
		return nil, apiError(err)
	}
	resp := &identitypb.ListUsersResponse{Users: make([]*identitypb.UserInfo, len(accounts))}
	for i, a := range accounts {
		resp.Users[i] = &identitypb.UserInfo{
			UserId: a.UserID, Admin: a.Admin, Deactivated: a.Deactivated(), Locked: a.Locked, Suspended: a.Suspended,
			CreatedMs: a.CreatedMs, Devices: int32(a.Devices),
		}
	}
	return resp, nil
}

// Deactivate implements identitypb.AdminServer.
func (g adminServer) Deactivate(ctx context.Context, req *identitypb.DeactivateRequest) (*identitypb.DeactivateResponse, error) {
	id, err := g.user(req.GetName())
	if err != nil {
		return nil, apiError(err)
	}
	return &identitypb.DeactivateResponse{}, apiError(g.s.change(ctx, id, g.s.deactivation(req.GetErase())))
}

// SetStatus implements identitypb.AdminServer. The account's tokens stay what they are; gateways ask anew what they
// may do.
func (g adminServer) SetStatus(ctx context.Context, req *identitypb.SetStatusRequest) (*identitypb.SetStatusResponse, error) {
	id, err := g.user(req.GetName())
	if err != nil {
		return nil, apiError(err)
	}
	resp := &identitypb.SetStatusResponse{}
	err = g.s.change(ctx, id, func(_ context.Context, a store.Account) (*change, error) {
		resp.Locked, resp.Suspended = a.Locked, a.Suspended
		if req.Locked != nil {
			resp.Locked = req.GetLocked()
		}
		if req.Suspended != nil {
			resp.Suspended = req.GetSuspended()
		}
		if resp.Locked == a.Locked && resp.Suspended == a.Suspended {
			return nil, nil
		}
		c := &change{forget: &[]string{}}
		c.do(store.SetStatus(id, resp.GetLocked(), resp.GetSuspended()))
		return c, g.s.tell(c, identitypb.UserEventKind_USER_EVENT_KIND_STATUS_CHANGED, keyStatus,
			&identitypb.UserEvent{UserId: id})
	})
	return resp, apiError(err)
}

// AddRegistrationToken implements identitypb.AdminServer.
func (g adminServer) AddRegistrationToken(ctx context.Context, req *identitypb.AddRegistrationTokenRequest) (*identitypb.RegistrationToken, error) {
	t := store.RegistrationToken{
		Token: req.GetToken(), UsesAllowed: req.UsesAllowed, ExpiresMs: req.GetExpiresMs(), CreatedMs: g.s.nowMs(),
	}
	if t.Token == "" {
		var err error
		// Letters and digits alone: a token that began with - would be taken for an option where it is typed.
		if t.Token, err = g.s.randomWord(nameAlphabet, 20); err != nil {
			return nil, apiError(err)
		}
	}
	if !validRegistrationToken(t.Token) || t.UsesAllowed != nil && *t.UsesAllowed < 0 || t.ExpiresMs < 0 {
		return nil, matrix.NewError(matrix.CodeInvalidParam,
			"A registration token has 1 to 64 of the characters A-Z a-z 0-9 - . _ ~, and no negative limits.")
	}
	added, err := g.s.store.AddRegistrationToken(ctx, t)
	if err != nil {
		return nil, apiError(err)
	}
	if !added {
		return nil, matrix.NewError(matrix.CodeInvalidParam, "There is such a token already.")
	}
	return tokenInfo(t), nil
}

// ListRegistrationTokens implements identitypb.AdminServer.
func (g adminServer) ListRegistrationTokens(ctx context.Context, req *identitypb.ListRegistrationTokensRequest) (*identitypb.ListRegistrationTokensResponse, error) {
	tokens, err := g.s.store.RegistrationTokens(ctx, req.GetAfter(), page(req.GetLimit()))
	if err != nil {
		return nil, apiError(err)
	}
	resp := &identitypb.ListRegistrationTokensResponse{}
	for _, t := range tokens {
		resp.Tokens = append(resp.Tokens, tokenInfo(t))
	}
	return resp, nil
}

// RemoveRegistrationToken implements identitypb.AdminServer.
func (g adminServer) RemoveRegistrationToken(ctx context.Context, req *identitypb.RemoveRegistrationTokenRequest) (*identitypb.RemoveRegistrationTokenResponse, error) {
	removed, err := g.s.store.DeleteRegistrationToken(ctx, req.GetToken())
	if err != nil {
		return nil, apiError(err)
	}
	if !removed {
		return nil, matrix.NewError(matrix.CodeNotFound, "There is no such token.")
	}
	return &identitypb.RemoveRegistrationTokenResponse{}, nil
}

// user returns the user id of a name.
func (g adminServer) user(name string) (string, error) {
	id := g.s.userID(name)
	if id == "" {
		return "", matrix.Errorf(matrix.CodeInvalidUsername,
			"%q is no name of a user of this server: want the characters a-z, 0-9 and ._=-/+", name)
	}
	return id, nil
}

func tokenInfo(t store.RegistrationToken) *identitypb.RegistrationToken {
	return &identitypb.RegistrationToken{
		Token: t.Token, UsesAllowed: t.UsesAllowed, Uses: t.Uses, ExpiresMs: t.ExpiresMs, CreatedMs: t.CreatedMs,
	}
}

func page(limit int32) int {
	if limit <= 0 || limit > maxPage {
		return maxPage
	}
	return int(limit)
}
