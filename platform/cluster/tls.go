package cluster

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
)

// TLS is what a member of the cluster shows others, and what it wants to see of them: a certificate of the cluster's
// authority. Names and addresses in certificates do not count: whoever has one is a member.
type TLS struct {
	cert tls.Certificate
	ca   []byte // PEM
	pool *x509.CertPool
	// setting is where whoever runs the server gave it, for the log.
	setting string
}

// Server is the configuration of listeners: clients must show a certificate of the cluster.
func (t *TLS) Server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{t.cert},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: t.pool, NextProtos: []string{"h2", "http/1.1"},
	}
}

// Client is the configuration of connections to members.
func (t *TLS) Client() *tls.Config { return t.ClientOf("a server") }

// ClientOf is Client for connections to somebody, which the log calls what: those who keep such connections often hear of a
// failure only that time was over. It is logged at most once a minute.
func (t *TLS) ClientOf(what string) *tls.Config {
	log := logx.NewLessLogger(60_000)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{t.cert}, NextProtos: []string{"h2", "http/1.1"},
		// Instances are found by addresses that come and go, which no certificate names: that the certificate is
		// one of the cluster's authority is checked below, for resumed sessions too.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			err := t.verify(state)
			if err != nil {
				log.Errorf("%s at the other end shows no certificate of this cluster: %s here is not what it has there, "+
					"so nothing is said to it: %v", what, t.setting, err)
			}
			return err
		},
	}
}

// verify checks that a server's certificate is one of the cluster's authority.
func (t *TLS) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the server shows no certificate")
	}
	rest := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		rest.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: t.pool, Intermediates: rest, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return fmt.Errorf("the server is no member of this cluster: %w", err)
	}
	return nil
}

// NewTLS returns what cfg says of TLS; nil where it says nothing.
func NewTLS(cfg Config) (*TLS, error) {
	switch {
	case cfg.Secret != "":
		return FromSecret(cfg.Secret.Reveal())
	case cfg.TLSCA != "":
		return fromFiles(cfg.TLSCA, cfg.TLSCert, cfg.TLSKey)
	}
	return nil, nil
}

// fromFiles reads the authority's certificate, and the process's own with its key, in PEM.
func fromFiles(ca, cert, key string) (*TLS, error) {
	authority, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("cluster.tls_ca: %w", err)
	}
	t := &TLS{ca: authority, pool: x509.NewCertPool(), setting: "cluster.tls_ca"}
	if !t.pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("cluster.tls_ca %s: no certificate in it", ca)
	}
	if t.cert, err = tls.LoadX509KeyPair(cert, key); err != nil {
		return nil, fmt.Errorf("cluster.tls_cert and cluster.tls_key: %w", err)
	}
	return t, nil
}

// ServerName is in all certificates that are made of a secret, for servers that cannot do without checking a name.
const ServerName = "hongyan-member"

// authorityInfo separates the authority's key from whatever else may be made of the secret one day.
const authorityInfo = "hongyan cluster authority 1"

// The authority is the same in all processes that know the secret, whenever they start.
var (
	authorityFrom = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	authorityTo   = time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC)
)

// FromSecret makes a certificate of the authority whose key follows from the secret, which has at least 32 characters. The
// certificate's own key is random.
func FromSecret(secret string) (*TLS, error) {
	if err := checkSecret(secret); err != nil {
		return nil, err
	}
	seed, err := hkdf.Key(sha256.New, []byte(secret), nil, authorityInfo, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("derive the cluster's authority: %w", err)
	}
	caKey := ed25519.NewKeyFromSeed(seed)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hongyan cluster"},
		NotBefore: authorityFrom, NotAfter: authorityTo, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	caRaw, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("make the cluster's authority: %w", err)
	}
	if ca, err = x509.ParseCertificate(caRaw); err != nil {
		return nil, fmt.Errorf("make the cluster's authority: %w", err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for the cluster: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a certificate for the cluster: %w", err)
	}
	leaf := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "hongyan member"}, DNSNames: []string{ServerName},
		NotBefore: authorityFrom, NotAfter: authorityTo, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, leaf, ca, public, caKey)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for the cluster: %w", err)
	}
	t := &TLS{
		cert: tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: private},
		ca:   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caRaw}), pool: x509.NewCertPool(),
		setting: "cluster.secret",
	}
	t.pool.AddCert(ca)
	return t, nil
}

// PEM returns the authority's certificate, the process's own and its key, for servers that read files.
func (t *TLS) PEM() (ca, cert, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(t.cert.PrivateKey)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("encode the cluster's key: %w", err)
	}
	for _, raw := range t.cert.Certificate {
		cert = append(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})...)
	}
	return t.ca, cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
