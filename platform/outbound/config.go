package outbound

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Config is what may be reached, and at what cost. The zero value of a field is what the comment says.
type Config struct {
	// Allow are ranges that may be reached although they are refused by default (see Public); Refuse are further ones that may not,
	// whatever Allow says.
	Allow, Refuse []netip.Prefix
	// Deny are patterns of hosts and URLs that are never asked: see Pattern.
	Deny []string
	// Ports may be asked, 0 in it for all; 80 and 443 where it is empty.
	Ports []int
	// HTTPSOnly refuses http.
	HTTPSOnly bool
	// MaxRedirects is how many redirects are followed; 0 is none.
	MaxRedirects int
	// Timeout is how long a request may take with its redirects and its body (10 s).
	Timeout time.Duration
	// MaxHeaderBytes is how large the headers of an answer may be (64 KiB).
	MaxHeaderBytes int64
	// AtOnce is how many requests there may be at once (64), HostAtOnce how many of them to one host and port (AtOnce). More wait.
	AtOnce, HostAtOnce int
	// UserAgent says who asks.
	UserAgent string

	// Resolver finds addresses of names; net.DefaultResolver where nil. RootCAs are whom TLS trusts; the system's where nil.
	Resolver *net.Resolver
	RootCAs  *x509.CertPool
}

// most bounds lists of a Config.
const most = 1000

// complete fills in what is not given.
func (c Config) complete() Config {
	if len(c.Ports) == 0 {
		c.Ports = []int{80, 443}
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.MaxHeaderBytes == 0 {
		c.MaxHeaderBytes = 64 << 10
	}
	if c.AtOnce == 0 {
		c.AtOnce = 64
	}
	if c.HostAtOnce == 0 {
		c.HostAtOnce = c.AtOnce
	}
	return c
}

// Validate refuses what cannot work.
func (c Config) Validate() error {
	if len(c.Allow) > most || len(c.Refuse) > most || len(c.Deny) > most || len(c.Ports) > most {
		return fmt.Errorf("at most %d ranges, patterns and ports", most)
	}
	for _, p := range append(append([]netip.Prefix{}, c.Allow...), c.Refuse...) {
		if !p.IsValid() {
			return errors.New("a range of addresses is not valid")
		}
		if p.Addr().Is4In6() {
			return fmt.Errorf("%s: write it as a range of IPv4", p)
		}
	}
	for _, p := range c.Ports {
		if p < 0 || p > 65535 {
			return fmt.Errorf("%d is no port", p)
		}
	}
	for _, d := range c.Deny {
		if _, err := ParsePattern(d); err != nil {
			return err
		}
	}
	if c.MaxRedirects < 0 || c.Timeout < 0 || c.MaxHeaderBytes < 0 || c.AtOnce < 0 || c.HostAtOnce < 0 {
		return errors.New("limits must not be negative")
	}
	return nil
}
