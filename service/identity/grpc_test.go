package identity_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	identitypb "hongyan/api/identity"
	logpb "hongyan/api/log"
	"hongyan/matrix"
)

// refusedAs requires an API error of a call.
func refusedAs(t *testing.T, err error, status int, code matrix.ErrCode) {
	t.Helper()
	var e *matrix.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, status, e.Status)
	require.Equal(t, code, e.Code)
}

func TestAuthenticate(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		u := g.register("alice")
		ctx := t.Context()
		a, err := g.identity.Authenticate(ctx, &identitypb.AuthenticateRequest{AccessToken: u.token})
		require.NoError(t, err)
		require.Equal(t, u.id, a.GetUserId())
		require.Equal(t, u.device, a.GetDeviceId())
		require.NotEmpty(t, a.GetTokenId())
		require.Zero(t, a.GetExpiresAtMs())
		require.False(t, a.GetAdmin() || a.GetGuest() || a.GetLocked() || a.GetSuspended())
		one, _ := g.loginPair("alice")
		a, err = g.identity.Authenticate(ctx, &identitypb.AuthenticateRequest{AccessToken: one.access})
		require.NoError(t, err)
		require.Equal(t, g.clock.Now().Add(5*time.Minute).UnixMilli(), a.GetExpiresAtMs())
		_, err = g.identity.Authenticate(ctx, &identitypb.AuthenticateRequest{AccessToken: "x"})
		refusedAs(t, err, 401, matrix.CodeUnknownToken)
		_, err = g.identity.Authenticate(ctx, &identitypb.AuthenticateRequest{})
		refusedAs(t, err, 401, matrix.CodeMissingToken)
	})
}

func TestProfilesAndUsers(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		alice, bob := g.register("alice"), g.register("bob")
		g.setField(alice, "avatar_url", "mxc://hs/a").ok()
		g.setField(alice, "org.x.other", 1).ok()
		ids := []string{alice.id, "@nobody:hs", bob.id, "@x:other"}
		resp, err := g.identity.Profiles(t.Context(), &identitypb.ProfilesRequest{UserIds: ids})
		require.NoError(t, err)
		profiles := map[string]*identitypb.Profile{}
		for _, p := range resp.GetProfiles() {
			profiles[p.GetUserId()] = p
		}
		require.Len(t, profiles, 2)
		require.Equal(t, "alice", profiles[alice.id].GetDisplayName())
		require.Equal(t, "mxc://hs/a", profiles[alice.id].GetAvatarUrl())
		require.Nil(t, profiles[bob.id].AvatarUrl)
		version := profiles[alice.id].GetVersion()
		g.setField(alice, "displayname", "A").ok()
		resp, err = g.identity.Profiles(t.Context(), &identitypb.ProfilesRequest{UserIds: ids[:1]})
		require.NoError(t, err)
		require.Greater(t, resp.GetProfiles()[0].GetVersion(), version)

		g.post(bob.token, v3+"/account/deactivate", obj{"auth": bob.passwordAuth()}).ok()
		users, err := g.identity.Users(t.Context(), &identitypb.UsersRequest{UserIds: ids})
		require.NoError(t, err)
		require.Len(t, users.GetUsers(), 2)
		for _, u := range users.GetUsers() {
			require.Equal(t, u.GetUserId() == bob.id, u.GetDeactivated())
		}
		none, err := g.identity.Users(t.Context(), &identitypb.UsersRequest{})
		require.NoError(t, err)
		require.Empty(t, none.GetUsers())
		_, err = g.identity.Users(t.Context(), &identitypb.UsersRequest{UserIds: []string{"a\x00"}})
		refusedAs(t, err, 400, matrix.CodeInvalidParam)
	})
}

func TestCheckAuth(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		u, other := g.register("alice"), g.register("bob")
		check := func(path string, body obj) (*identitypb.CheckAuthResponse, error) {
			raw, err := json.Marshal(body)
			require.NoError(t, err)
			return g.identity.CheckAuth(t.Context(), &identitypb.CheckAuthRequest{
				UserId: u.id, Method: "POST", Path: path, Body: raw,
			})
		}
		resp, err := check("/keys", obj{"key": 1})
		require.NoError(t, err)
		var challenge struct {
			Session string `json:"session"`
			Flows   []struct{ Stages []string }
			Errcode string
		}
		require.NoError(t, json.Unmarshal(resp.GetChallenge(), &challenge))
		require.Equal(t, []string{"m.login.password"}, challenge.Flows[0].Stages)
		require.NotEmpty(t, challenge.Session)
		require.Empty(t, challenge.Errcode)

		auth := u.passwordAuth()
		auth["session"] = challenge.Session
		_, err = check("/other", obj{"key": 1, "auth": auth})
		refusedAs(t, err, 403, matrix.CodeForbidden)
		_, err = check("/keys", obj{"key": 1, "auth": other.passwordAuth()})
		refusedAs(t, err, 403, matrix.CodeForbidden)
		auth["password"] = "wrong"
		resp, err = check("/keys", obj{"key": 1, "auth": auth})
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(resp.GetChallenge(), &challenge))
		require.Equal(t, "M_FORBIDDEN", challenge.Errcode)
		auth["password"] = secret
		resp, err = check("/keys", obj{"key": 1, "auth": auth})
		require.NoError(t, err)
		require.Empty(t, resp.GetChallenge())
		_, err = g.identity.CheckAuth(t.Context(), &identitypb.CheckAuthRequest{
			UserId: u.id, Method: "POST", Path: "/keys", Body: []byte("[]"),
		})
		refusedAs(t, err, 400, matrix.CodeBadJSON)
		_, err = g.identity.CheckAuth(t.Context(), &identitypb.CheckAuthRequest{Method: "POST", Path: "/keys"})
		require.Error(t, err)
	})
}

func TestLogErrors(t *testing.T) {
	g := onSQLite(t, nil)
	for _, req := range []*logpb.ReadRequest{{Shard: -1}, {Shard: 64}, {After: -1}} {
		_, err := g.log.Read(t.Context(), req)
		refusedAs(t, err, 400, matrix.CodeInvalidParam)
	}
	page, err := g.log.Read(t.Context(), &logpb.ReadRequest{Shard: 3, Limit: 1 << 30})
	require.NoError(t, err)
	require.Empty(t, page.GetRecords())
}

func TestAdmin(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		ctx := t.Context()
		added, err := g.admin.AddUser(ctx, &identitypb.AddUserRequest{Name: "@Root:hs", Password: "short", Admin: true})
		require.NoError(t, err)
		require.Equal(t, "@root:hs", added.GetUserId())
		_, err = g.admin.AddUser(ctx, &identitypb.AddUserRequest{Name: "root", Password: "x"})
		refusedAs(t, err, 400, matrix.CodeUserInUse)
		_, err = g.admin.AddUser(ctx, &identitypb.AddUserRequest{Name: "@root:other", Password: "x"})
		refusedAs(t, err, 400, matrix.CodeInvalidUsername)
		_, err = g.admin.AddUser(ctx, &identitypb.AddUserRequest{Name: "x"})
		refusedAs(t, err, 400, matrix.CodeWeakPassword)
		token := g.login("root", obj{"password": "short"}).ok().text("access_token")

		_, err = g.admin.SetPassword(ctx, &identitypb.SetPasswordRequest{Name: "root", Password: secret})
		require.NoError(t, err)
		g.works(token)
		_, err = g.admin.SetPassword(ctx, &identitypb.SetPasswordRequest{Name: "root", Password: secret, LogoutDevices: true})
		require.NoError(t, err)
		g.ended(token, false)
		_, err = g.admin.SetPassword(ctx, &identitypb.SetPasswordRequest{Name: "nobody", Password: secret})
		refusedAs(t, err, 404, matrix.CodeNotFound)

		for i := range 5 {
			g.register(fmt.Sprintf("user%d", i))
		}
		var names []string
		after := ""
		for {
			page, err := g.admin.ListUsers(ctx, &identitypb.ListUsersRequest{After: after, Limit: 4})
			require.NoError(t, err)
			if len(page.GetUsers()) == 0 {
				break
			}
			for _, u := range page.GetUsers() {
				after = u.GetUserId()
				names = append(names, after)
				require.Equal(t, after == "@root:hs", u.GetAdmin())
				require.EqualValues(t, map[bool]int{true: 0, false: 1}[u.GetAdmin()], u.GetDevices())
				require.Equal(t, g.clock.Now().UnixMilli(), u.GetCreatedMs())
			}
		}
		require.Equal(t, []string{"@root:hs", "@user0:hs", "@user1:hs", "@user2:hs", "@user3:hs", "@user4:hs"}, names)

		_, err = g.admin.Deactivate(ctx, &identitypb.DeactivateRequest{Name: "user0", Erase: true})
		require.NoError(t, err)
		_, err = g.admin.Deactivate(ctx, &identitypb.DeactivateRequest{Name: "user0"})
		refusedAs(t, err, 403, matrix.CodeUserDeactivated)
		g.login("user0", nil).fails(403, matrix.CodeForbidden)
	})
}

func TestAdminRegistrationTokens(t *testing.T) {
	onBoth(t, tokenMode, func(t *testing.T, g *rig) {
		ctx := t.Context()
		minus := int64(-1)
		for _, req := range []*identitypb.AddRegistrationTokenRequest{
			{Token: "no grammar"}, {Token: "x", UsesAllowed: &minus}, {Token: "x", ExpiresMs: -1},
		} {
			_, err := g.admin.AddRegistrationToken(ctx, req)
			refusedAs(t, err, 400, matrix.CodeInvalidParam)
		}
		made, err := g.admin.AddRegistrationToken(ctx, &identitypb.AddRegistrationTokenRequest{})
		require.NoError(t, err)
		require.Regexp(t, `^[a-z0-9]{20}$`, made.GetToken(), "it is no option on a command line")
		_, err = g.admin.AddRegistrationToken(ctx, &identitypb.AddRegistrationTokenRequest{Token: made.GetToken()})
		refusedAs(t, err, 400, matrix.CodeInvalidParam)
		list, err := g.admin.ListRegistrationTokens(ctx, &identitypb.ListRegistrationTokensRequest{})
		require.NoError(t, err)
		require.Len(t, list.GetTokens(), 1)
		_, err = g.admin.RemoveRegistrationToken(ctx, &identitypb.RemoveRegistrationTokenRequest{Token: made.GetToken()})
		require.NoError(t, err)
		_, err = g.admin.RemoveRegistrationToken(ctx, &identitypb.RemoveRegistrationTokenRequest{Token: made.GetToken()})
		refusedAs(t, err, 404, matrix.CodeNotFound)
	})
}
