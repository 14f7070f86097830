package cluster_test

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/cluster"
)

const secret = "a secret of thirty-two characters"

func member(t *testing.T, secret string) *cluster.TLS {
	t.Helper()
	m, err := cluster.FromSecret(secret)
	require.NoError(t, err)
	return m
}

// shake lets a client and a server speak and returns what each found wrong.
func shake(t *testing.T, client, server *tls.Config) (clientErr, serverErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer func() { _ = c.Close() }()
		_, err = io.WriteString(tls.Server(c, server), "welcome")
		done <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_, clientErr = io.ReadAll(tls.Client(c, client))
	return clientErr, <-done
}

// Processes that know the same secret trust each other, and nobody else.
func TestSecretMakesMembers(t *testing.T) {
	a, b, stranger := member(t, secret), member(t, secret), member(t, "another secret, which is as long as it")
	clientErr, serverErr := shake(t, a.Client(), b.Server())
	require.NoError(t, clientErr)
	require.NoError(t, serverErr)

	clientErr, _ = shake(t, a.Client(), stranger.Server())
	require.ErrorContains(t, clientErr, "no member of this cluster")
	_, serverErr = shake(t, stranger.Client(), a.Server())
	require.Error(t, serverErr)

	trusting := stranger.Client()
	trusting.VerifyConnection = nil
	_, serverErr = shake(t, trusting, a.Server())
	require.Error(t, serverErr, "a client of another cluster")
	trusting.Certificates = nil
	_, serverErr = shake(t, trusting, a.Server())
	require.Error(t, serverErr, "a client without a certificate")
}

// Who sees a certificate must not be able to guess the secret.
func TestShortSecret(t *testing.T) {
	_, err := cluster.FromSecret("0123456789012345678901234567890")
	require.ErrorContains(t, err, "at least 32 random characters")
	member(t, "01234567890123456789012345678901")
}

// What PEM returns is what Config reads from files.
func TestFiles(t *testing.T) {
	a := member(t, secret)
	ca, cert, key, err := a.PEM()
	require.NoError(t, err)
	dir := t.TempDir()
	cfg := cluster.Default()
	for name, content := range map[string][]byte{"ca": ca, "cert": cert, "key": key} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	cfg.TLSCA, cfg.TLSCert, cfg.TLSKey = filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	require.NoError(t, cfg.Validate())
	b, err := cluster.NewTLS(cfg)
	require.NoError(t, err)
	clientErr, serverErr := shake(t, b.Client(), member(t, secret).Server())
	require.NoError(t, clientErr)
	require.NoError(t, serverErr)

	cfg.TLSCA = cfg.TLSKey
	_, err = cluster.NewTLS(cfg)
	require.ErrorContains(t, err, "no certificate in it")
	cfg.TLSCA = filepath.Join(dir, "missing")
	_, err = cluster.NewTLS(cfg)
	require.ErrorIs(t, err, os.ErrNotExist)
}
