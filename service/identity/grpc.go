package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	identitypb "hongyan/api/identity"
	"hongyan/matrix"
)

// maxUsers is how many users one call may ask for.
const maxUsers = 10_000

// identityServer serves hongyan.identity.v1.Identity.
type identityServer struct {
	identitypb.UnimplementedIdentityServer
	s *Service
}

// Authenticate implements identitypb.IdentityServer.
func (g identityServer) Authenticate(ctx context.Context, req *identitypb.AuthenticateRequest) (*identitypb.AuthenticateResponse, error) {
	a, err := g.s.authenticate(ctx, req.GetAccessToken(), req.GetRemoteAddr())
	if err != nil {
		return nil, apiError(err)
	}
	return &identitypb.AuthenticateResponse{
		UserId: a.UserID, DeviceId: a.DeviceID, TokenId: a.ID, ExpiresAtMs: a.ExpiresMs,
		Admin: a.Admin, Guest: a.Guest, Locked: a.Locked, Suspended: a.Suspended,
	}, nil
}

// Profiles implements identitypb.IdentityServer.
func (g identityServer) Profiles(ctx context.Context, req *identitypb.ProfilesRequest) (*identitypb.ProfilesResponse, error) {
	ids := req.GetUserIds()
	if err := checkUsers(ids); err != nil {
		return nil, apiError(err)
	}
	accounts, err := g.s.store.Accounts(ctx, ids)
	if err != nil {
		return nil, apiError(err)
	}
	fields, err := g.s.store.ProfileFields(ctx, ids, []string{fieldDisplayName, fieldAvatarURL})
	if err != nil {
		return nil, apiError(err)
	}
	return &identitypb.ProfilesResponse{Profiles: profiles(accounts, fields)}, nil
}

// Users implements identitypb.IdentityServer.
func (g identityServer) Users(ctx context.Context, req *identitypb.UsersRequest) (*identitypb.UsersResponse, error) {
	if err := checkUsers(req.GetUserIds()); err != nil {
		return nil, apiError(err)
	}
	accounts, err := g.s.store.Accounts(ctx, req.GetUserIds())
	if err != nil {
		return nil, apiError(err)
	}
	users := make([]*identitypb.User, len(accounts))
	for i, a := range accounts {
		users[i] = &identitypb.User{
			UserId: a.UserID, Deactivated: a.Deactivated(),
			Admin: a.Admin, Guest: a.Guest, Locked: a.Locked, Suspended: a.Suspended,
		}
	}
	return &identitypb.UsersResponse{Users: users}, nil
}

// Devices implements identitypb.IdentityServer.
func (g identityServer) Devices(ctx context.Context, req *identitypb.DevicesRequest) (*identitypb.DevicesResponse, error) {
	ids := make([]string, len(req.GetUsers()))
	wanted := make(map[string][]string, len(ids))
	for i, u := range req.GetUsers() {
		ids[i] = u.GetUserId()
		wanted[u.GetUserId()] = u.GetDeviceIds()
	}
	if err := checkUsers(ids); err != nil {
		return nil, apiError(err)
	}
	found, err := g.s.store.DevicesOf(ctx, ids)
	if err != nil {
		return nil, apiError(err)
	}
	resp := &identitypb.DevicesResponse{}
	for _, d := range found {
		if only := wanted[d.UserID]; len(only) > 0 && !slices.Contains(only, d.DeviceID) {
			continue
		}
		resp.Devices = append(resp.Devices, &identitypb.Device{
			UserId: d.UserID, DeviceId: d.DeviceID, DisplayName: d.DisplayName, CreatedMs: d.CreatedMs,
		})
	}
	return resp, nil
}

func checkUsers(ids []string) error {
	if len(ids) > maxUsers {
		return matrix.Errorf(matrix.CodeInvalidParam, "More than %d users.", maxUsers)
	}
	for _, id := range ids {
		if !isText(id) {
			return matrix.NewError(matrix.CodeInvalidParam, "A user id is not valid text.")
		}
	}
	return nil
}

// CheckAuth implements identitypb.IdentityServer.
func (g identityServer) CheckAuth(ctx context.Context, req *identitypb.CheckAuthRequest) (*identitypb.CheckAuthResponse, error) {
	if req.GetUserId() == "" || req.GetMethod() == "" || req.GetPath() == "" {
		return nil, matrix.Internal(errors.New("check auth: user, method and path are required"))
	}
	body, err := decodeAuthBody(req.GetBody())
	if err != nil {
		return nil, apiError(err)
	}
	err = g.s.checkAuth(ctx, authRequest{
		userID: req.GetUserId(), action: req.GetMethod() + " " + req.GetPath(), body: body, flows: passwordFlows(),
		from: origin{signedIn: true},
	})
	var c *challenge
	if !errors.As(err, &c) {
		return &identitypb.CheckAuthResponse{}, apiError(err)
	}
	answer, err := json.Marshal(c.body)
	if err != nil {
		return nil, fmt.Errorf("encode challenge: %w", err)
	}
	return &identitypb.CheckAuthResponse{Challenge: answer}, nil
}
