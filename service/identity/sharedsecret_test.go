package identity_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/service/identity"
)

const sharedSecretPath = "/_synapse/admin/v1/register"

func sharedSecretConfig(c *identity.Config) {
	c.Registration = identity.RegistrationClosed
	c.RegistrationSharedSecret = "shared"
}

// signed adds the MAC that somebody who knows the key would send.
func signed(key string, body obj) obj {
	role := "notadmin"
	if body["admin"] == true {
		role = "admin"
	}
	parts := []string{body["nonce"].(string), body["username"].(string), body["password"].(string), role}
	if kind, ok := body["user_type"].(string); ok {
		parts = append(parts, kind)
	}
	mac := hmac.New(sha1.New, []byte(key))
	mac.Write([]byte(strings.Join(parts, "\x00")))
	body["mac"] = hex.EncodeToString(mac.Sum(nil))
	return body
}

func (g *rig) nonce() string {
	g.Helper()
	return g.get("", sharedSecretPath).ok().text("nonce")
}

func TestSharedSecret(t *testing.T) {
	onBoth(t, sharedSecretConfig, func(t *testing.T, g *rig) {
		nonce := g.nonce()
		body := signed("shared", obj{
			"nonce": nonce, "username": "Root", "password": secret, "admin": true, "displayname": "The Root",
		})
		a := g.post("", sharedSecretPath, body).ok()
		require.Equal(t, "@root:hs", a.body["user_id"])
		require.Equal(t, "hs", a.body["home_server"])
		a.text("device_id")
		g.works(a.text("access_token"))
		require.Equal(t, "The Root", g.get("", v3+"/profile/@root:hs").ok().body["displayname"])
		var admin bool
		require.NoError(t, g.db.QueryRow(t.Context(), `SELECT admin FROM account`).Scan(&admin))
		require.True(t, admin)

		// A nonce is for one account, in whatever spelling.
		for _, again := range []string{nonce, strings.ToUpper(nonce)} {
			g.post("", sharedSecretPath, signed("shared", obj{"nonce": again, "username": "two", "password": secret})).
				fails(400, matrix.CodeUnknown)
		}
		a = g.post("", sharedSecretPath, signed("shared", obj{
			"nonce": g.nonce(), "username": "two", "password": secret, "inhibit_login": true,
		})).ok()
		require.NotContains(t, a.body, "access_token")
		g.login("two", nil).ok()
	})
}

func TestSharedSecretErrors(t *testing.T) {
	onBoth(t, sharedSecretConfig, func(t *testing.T, g *rig) {
		make := func(extra obj) obj {
			b := obj{"nonce": g.nonce(), "username": "bob", "password": secret}
			for k, v := range extra {
				b[k] = v
			}
			return signed("shared", b)
		}
		without := func(key string) obj {
			b := make(nil)
			delete(b, key)
			return b
		}
		forged := make(nil)["nonce"].(string)
		forged = "ff" + forged[2:]
		for name, c := range map[string]struct {
			body   obj
			status int
			code   matrix.ErrCode
		}{
			"no nonce":      {without("nonce"), 400, matrix.CodeBadJSON},
			"no username":   {without("username"), 400, matrix.CodeBadJSON},
			"no password":   {without("password"), 400, matrix.CodeBadJSON},
			"no mac":        {without("mac"), 400, matrix.CodeBadJSON},
			"forged nonce":  {make(obj{"nonce": forged}), 400, matrix.CodeUnknown},
			"no hex":        {make(obj{"nonce": "zz"}), 400, matrix.CodeUnknown},
			"wrong secret":  {signed("wrong", make(nil)), 403, matrix.CodeForbidden},
			"mac is no hex": {func() obj { b := make(nil); b["mac"] = "zz"; return b }(), 403, matrix.CodeForbidden},
			"other role":    {func() obj { b := make(nil); b["admin"] = true; return b }(), 403, matrix.CodeForbidden},
			"user type":     {make(obj{"user_type": "bot"}), 400, matrix.CodeInvalidParam},
			"bad name":      {make(obj{"username": "no way"}), 400, matrix.CodeInvalidUsername},
			"long name":     {make(obj{"displayname": strings.Repeat("x", 257)}), 400, matrix.CodeInvalidParam},
		} {
			t.Run(name, func(t *testing.T) { g.in(t).post("", sharedSecretPath, c.body).fails(c.status, c.code) })
		}
		late := make(nil)
		g.clock.add(time.Minute)
		g.post("", sharedSecretPath, late).fails(400, matrix.CodeUnknown)
		g.post("", sharedSecretPath, make(nil)).ok()
		g.post("", sharedSecretPath, make(nil)).fails(400, matrix.CodeUserInUse)
	})
}

// A nonce used for several accounts at once makes one.
func TestSharedSecretNonceOnce(t *testing.T) {
	onBoth(t, sharedSecretConfig, func(t *testing.T, g *rig) {
		nonce := g.nonce()
		const n = 10
		status := make([]int, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				status[i] = g.post("", sharedSecretPath, signed("shared", obj{
					"nonce": nonce, "username": "user" + string(rune('a'+i)), "password": secret,
				})).status
			})
		}
		wg.Wait()
		won := 0
		for _, s := range status {
			if s == 200 {
				won++
			} else {
				require.Equal(t, 400, s)
			}
		}
		require.Equal(t, 1, won)
	})
}

func TestSharedSecretDisabled(t *testing.T) {
	g := onSQLite(t, nil)
	g.get("", sharedSecretPath).fails(400, matrix.CodeUnknown)
	g.post("", sharedSecretPath, signed("", obj{"nonce": "", "username": "a", "password": "b"})).fails(400, matrix.CodeUnknown)
}
