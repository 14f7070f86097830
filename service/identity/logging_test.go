package identity_test

import (
	"bytes"
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zeromicro/go-zero/core/logx"
)

// syncBuffer is what the log is written to.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Nothing that opens an account is ever logged, also not when everything fails.
func TestNoSecretsInLogs(t *testing.T) {
	log := &syncBuffer{}
	logx.SetWriter(logx.NewWriter(log))
	logx.SetLevel(logx.DebugLevel)
	defer logx.Reset()
	defer logx.SetLevel(logx.InfoLevel)

	g := onSQLite(t, sharedSecretAndOpen)
	u := g.register("alice")
	one, _ := g.loginPair("alice")
	two := g.refresh(one.refresh).pair()
	loginToken := g.post(u.token, getToken, obj{"auth": u.passwordAuth()}).ok().text("login_token")
	g.login("alice", obj{"password": "mistyped-password"})
	g.forgot.fail = true
	g.post(u.token, v3+"/logout", nil).ok()
	g.forgot.fail = false

	// The database breaks: the cause is logged, nobody's secrets are.
	_, err := g.db.Exec(context.Background(), `ALTER TABLE token RENAME TO token_gone`)
	require.NoError(t, err)
	require.Equal(t, 500, g.refresh(two.refresh).status)
	require.Equal(t, 500, g.get(two.access, v3+"/account/whoami").status)
	require.Equal(t, 500, g.login("alice", nil).status)
	require.Equal(t, 500, g.post("", v3+"/login", obj{"type": "m.login.token", "token": loginToken}).status)
	require.Equal(t, 500, g.post("", v3+"/register", obj{"username": "bob", "password": secret, "auth": dummy}).status)
	require.Contains(t, log.String(), "no such table")
	_, err = g.db.Exec(context.Background(), `ALTER TABLE token_gone RENAME TO token`)
	require.NoError(t, err)

	for name, text := range map[string]string{
		"password": secret, "mistyped password": "mistyped-password", "shared secret": "shared-registration-secret",
		"access token": u.token, "second access token": two.access,
		"refresh token": one.refresh, "second refresh token": two.refresh, "login token": loginToken,
	} {
		require.NotContains(t, log.String(), text, name)
	}
}
