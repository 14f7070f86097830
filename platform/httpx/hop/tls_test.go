package hop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx/hop"
	"hongyan/platform/registry"
)

// authority makes certificates for both ends of the hop.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(raw)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{t: t, cert: cert, key: key, pool: pool}
}

func (a *authority) issue() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "hongyan"}, DNSNames: []string{"hongyan"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(a.t, err)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

func (a *authority) client() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: a.pool, Certificates: []tls.Certificate{a.issue()}, ServerName: "hongyan",
	}
}

func (a *authority) server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientCAs: a.pool, Certificates: []tls.Certificate{a.issue()},
		ClientAuth: tls.RequireAndVerifyClientCert,
	}
}

func (h *house) startTLS(id string, handler http.Handler, config *tls.Config, change ...func(*registry.Instance)) *instance {
	h.t.Helper()
	server, err := hop.NewServer(hop.ServerOptions{Name: "room", BootID: id, Handler: handler, TLS: config})
	require.NoError(h.t, err)
	i := h.serve(id, server, change...)
	server.Open()
	i.put(registry.Ready)
	return i
}

func TestStrangersAreTurnedAway(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	serving := func(h *house) *instance { return h.startTLS("a", says("a"), ours.server()) }
	for name, config := range map[string]*tls.Config{
		"no certificate":         {MinVersion: tls.VersionTLS13, RootCAs: ours.pool, ServerName: "hongyan"},
		"another's certificate":  {MinVersion: tls.VersionTLS13, RootCAs: ours.pool, ServerName: "hongyan", Certificates: []tls.Certificate{theirs.issue()}},
		"they trust another one": {MinVersion: tls.VersionTLS13, RootCAs: theirs.pool, ServerName: "hongyan", Certificates: []tls.Certificate{ours.issue()}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, hop.Options{TLS: config, Wait: time.Millisecond})
			serving(h)
			h.known("room", 1)
			_, _, err := call(h.cluster.Upstream("room"), request(t, "GET", "/", nil))
			require.Error(t, err)
		})
	}
	t.Run("in the clear", func(t *testing.T) {
		h := newHouse(t, hop.Options{Wait: time.Millisecond})
		serving(h)
		h.known("room", 1)
		_, _, err := call(h.cluster.Upstream("room"), request(t, "GET", "/", nil))
		require.Error(t, err)
	})
	t.Run("one of us", func(t *testing.T) {
		h := newHouse(t, hop.Options{TLS: ours.client()})
		serving(h)
		h.known("room", 1)
		_, body, err := call(h.cluster.Upstream("room"), request(t, "GET", "/", nil))
		require.NoError(t, err)
		require.Equal(t, "a", body)
	})
	for name, config := range map[string]*tls.Config{
		"asks for nothing":  {MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{ours.issue()}},
		"verifies nothing":  {MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert, ClientCAs: ours.pool},
		"trusts the system": {MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert},
	} {
		_, err := hop.NewServer(hop.ServerOptions{Name: "room", Handler: says("a"), TLS: config})
		require.ErrorContains(t, err, "certificates", name)
	}
}
