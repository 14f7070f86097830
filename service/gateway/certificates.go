package gateway

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
)

// certificateCheck is how often the files are looked at.
const certificateCheck = time.Minute

// Certificates is a TLS certificate from files that are renewed while the server runs.
type Certificates struct {
	cert, key string
	now       func() time.Time

	mu      sync.Mutex
	loaded  *tls.Certificate
	changed time.Time // of the files that loaded is from
	checked time.Time
}

// LoadCertificates reads a certificate chain and its key, in PEM.
func LoadCertificates(cert, key string, now func() time.Time) (*Certificates, error) {
	c := &Certificates{cert: cert, key: key, now: now}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Certificates) load() error {
	changed, err := lastChange(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("TLS certificate: %w", err)
	}
	loaded, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("TLS certificate %s with key %s: %w", c.cert, c.key, err)
	}
	c.loaded, c.changed, c.checked = &loaded, changed, c.now()
	return nil
}

// Expiry is when the certificate in use ends.
func (c *Certificates) Expiry() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loaded.Leaf.NotAfter
}

// get returns the certificate of a handshake. Files that cannot be read leave the last one in use.
func (c *Certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.checked) >= certificateCheck {
		c.checked = now
		if changed, err := lastChange(c.cert, c.key); err != nil || !changed.Equal(c.changed) {
			if err := c.load(); err != nil {
				logx.Errorf("keep the old certificate: %v", err)
			}
		}
	}
	return c.loaded, nil
}

func lastChange(paths ...string) (time.Time, error) {
	var last time.Time
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return time.Time{}, err
		}
		if info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last, nil
}
