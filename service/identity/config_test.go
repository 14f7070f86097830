package identity_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/bus/memory"
	"hongyan/platform/obs"
	"hongyan/platform/sqldb"
	"hongyan/service/identity"
)

func TestConfig(t *testing.T) {
	require.NoError(t, identity.Default().Validate())
	require.Equal(t, identity.RegistrationClosed, identity.Default().Registration)
	for want, spoil := range map[string]func(*identity.Config){
		"registration":           func(c *identity.Config) { c.Registration = "maybe" },
		"default_display_name":   func(c *identity.Config) { c.DefaultDisplayName = "x" },
		"registration_tokens[0]": func(c *identity.Config) { c.RegistrationTokens = []obs.Secret{"no grammar"} },
		"terms[0]":               func(c *identity.Config) { c.Terms = []identity.Policy{{ID: "x"}} },
		"memory_kib of 8 times":  func(c *identity.Config) { c.Passwords.MemoryKiB = 7 },
		"iterations":             func(c *identity.Config) { c.Passwords.Iterations = 0 },
		"at most 4 GiB":          func(c *identity.Config) { c.Passwords.MemoryKiB = 5 << 20 },
		"queue":                  func(c *identity.Config) { c.Passwords.Queue = -1 },
		"min_length":             func(c *identity.Config) { c.Passwords.MinLength = 513 },
		"lifetimes":              func(c *identity.Config) { c.Tokens.Refresh = -1 },
		"login must":             func(c *identity.Config) { c.Tokens.Login = 0 },
		"auth_sessions":          func(c *identity.Config) { c.Auth.Max = 0 },
		"login_failures":         func(c *identity.Config) { c.LoginFailures = identity.FailureConfig{Burst: 1} },
		"seen_interval":          func(c *identity.Config) { c.SeenInterval = 0 },
	} {
		cfg := identity.Default()
		spoil(&cfg)
		require.ErrorContains(t, cfg.Validate(), want)
	}
}

func TestConfigHidesSecrets(t *testing.T) {
	cfg := identity.Default()
	cfg.RegistrationSharedSecret = "hush"
	cfg.RegistrationTokens = []obs.Secret{"quiet"}
	for _, text := range []string{fmt.Sprintf("%v", cfg), fmt.Sprintf("%+v", cfg), fmt.Sprintf("%#v", cfg)} {
		require.NotContains(t, text, "hush")
		require.NotContains(t, text, "quiet")
	}
}

func TestNewRefuses(t *testing.T) {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, sqldb.Config{URL: databases["sqlite"](t)})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	wakes := memory.New(1)
	defer func() { require.NoError(t, wakes.Close()) }()
	good := identity.Deps{DB: db, Bus: wakes, Gateways: &forgetter{}, ServerName: "hs"}
	_, err = identity.New(ctx, identity.Default(), good)
	require.NoError(t, err)
	for _, spoil := range []func(*identity.Deps){
		func(d *identity.Deps) { d.DB = nil }, func(d *identity.Deps) { d.Gateways = nil },
		func(d *identity.Deps) { d.Bus = nil }, func(d *identity.Deps) { d.ServerName = "no server" },
	} {
		deps := good
		spoil(&deps)
		_, err := identity.New(ctx, identity.Default(), deps)
		require.Error(t, err)
	}
	_, err = identity.New(ctx, identity.Config{}, good)
	require.Error(t, err)
	shared := identity.Default()
	shared.ProfileLookup = identity.ProfileLookupShared
	_, err = identity.New(ctx, shared, good)
	require.ErrorContains(t, err, "Social", "who shares a room is for the social service to say")
}

// Expired rows are removed when the service stops, at the latest.
func TestExpiredRowsGo(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			t.Run("make", func(t *testing.T) {
				g := newRig(t, url, sharedSecretAndOpen)
				u := g.register("alice")
				for range 20 {
					g.post("", v3+"/register", nil).challenged("", "m.login.dummy")
					g.post(u.token, getToken, nil).challenged("", "m.login.password")
				}
				g.post(u.token, getToken, obj{"auth": u.passwordAuth()}).ok()
				g.post("", sharedSecretPath, signed("shared-registration-secret", obj{
					"nonce": g.nonce(), "username": "bob", "password": secret,
				})).ok()
				require.EqualValues(t, 20+16, g.count("uia_session"), "a user has a few, not any number")
				require.EqualValues(t, 1, g.count("login_token"))
				require.EqualValues(t, 1, g.count("used_nonce"))
				g.clock.add(time.Hour)
			})
			g := newRig(t, url, nil)
			for _, table := range []string{"uia_session", "login_token", "used_nonce"} {
				require.Zero(t, g.count(table), table)
			}
		})
	}
}

func TestSessionsAreBounded(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			t.Run("make", func(t *testing.T) {
				g := newRig(t, url, func(c *identity.Config) { c.Auth.Max = 5 })
				for range 20 {
					g.post("", v3+"/register", nil).challenged("", "m.login.dummy")
				}
			})
			require.EqualValues(t, 5, newRig(t, url, nil).count("uia_session"))
		})
	}
}

func (g *rig) count(table string) (n int64) {
	g.Helper()
	require.NoError(g, g.db.QueryRow(context.Background(), `SELECT count(*) FROM `+table).Scan(&n))
	return n
}
