package gateway

import (
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"time"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

// Config is how the edge behaves.
type Config struct {
	// TLSCert and TLSKey are PEM files; both or none. A changed file is picked up within a minute.
	TLSCert string `yaml:"tls_cert"`
	TLSKey  string `yaml:"tls_key"`
	// PublicURL is the address that clients reach the server at ("https://chat.example.org"), told in
	// /.well-known/matrix/client.
	PublicURL string `yaml:"public_url"`
	// TrustedProxies are address ranges (CIDR) whose X-Forwarded-For and X-Hongyan-Retry-Key are believed.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// Support is answered in /.well-known/matrix/support.
	Support SupportConfig `yaml:"support"`
	Turn    TurnConfig    `yaml:"turn"`
	Auth    AuthConfig    `yaml:"auth"`
	Limits  LimitsConfig  `yaml:"limits"`
}

// SupportConfig says whom users ask for help. Where all is empty, the document does not exist.
type SupportConfig struct {
	// MatrixID and Email reach the administrator.
	MatrixID string `yaml:"matrix_id"`
	Email    string `yaml:"email"`
	// Page is the URL of a page with help.
	Page string `yaml:"page"`
}

// AuthConfig says how tokens are looked up.
type AuthConfig struct {
	// CacheFor is how long the answer of a look-up is used, from the look-up's start; at most 2 s.
	CacheFor time.Duration `yaml:"cache_for"`
	// CacheEntries is how many tokens are known at once.
	CacheEntries int `yaml:"cache_entries"`
	// Timeout is how long a look-up may take; at most 2 s, after which its answer would not count.
	Timeout time.Duration `yaml:"timeout"`
	// MaxPolls is how many long polls one account may park.
	MaxPolls int `yaml:"max_polls"`
}

// LimitsConfig says how fast clients may go.
type LimitsConfig struct {
	// Account and Address count requests of signed-in users per account, and others per network address.
	Account RatesConfig `yaml:"account"`
	Address RatesConfig `yaml:"address"`
	// BadTokens counts, per address, requests with an access token that nobody has.
	BadTokens Rate `yaml:"bad_tokens"`
	// Buckets is how many accounts, and how many addresses, are counted at once for each rate.
	Buckets int `yaml:"buckets"`
}

// RatesConfig has the rate of each class of routes.
type RatesConfig struct {
	Default  Rate `yaml:"default"`
	Message  Rate `yaml:"message"`
	Room     Rate `yaml:"room"`
	Login    Rate `yaml:"login"`
	Register Rate `yaml:"register"`
	Upload   Rate `yaml:"upload"`
}

// Rate is a token bucket.
type Rate struct {
	// PerSecond is how many requests a second may go on for ever.
	PerSecond float64 `yaml:"per_second"`
	// Burst is how many may come at once.
	Burst int `yaml:"burst"`
}

// maxCacheFor is the two seconds that the whole system counts on.
const maxCacheFor = 2 * time.Second

// Default returns the configuration that is right for most: limits that nobody notices who types and clicks.
func Default() Config {
	return Config{
		TrustedProxies: []string{"127.0.0.0/8", "::1/128"},
		Turn:           TurnConfig{Lifetime: 24 * time.Hour},
		Auth:           AuthConfig{CacheFor: maxCacheFor, CacheEntries: 65536, Timeout: maxCacheFor, MaxPolls: 256},
		Limits: LimitsConfig{
			Account: RatesConfig{
				Default:  Rate{PerSecond: 100, Burst: 1000},
				Message:  Rate{PerSecond: 10, Burst: 100},
				Room:     Rate{PerSecond: 2, Burst: 100},
				Login:    Rate{PerSecond: 1, Burst: 20},
				Register: Rate{PerSecond: 1, Burst: 20},
				Upload:   Rate{PerSecond: 5, Burst: 100},
			},
			Address: RatesConfig{
				Default:  Rate{PerSecond: 100, Burst: 1000},
				Message:  Rate{PerSecond: 10, Burst: 100},
				Room:     Rate{PerSecond: 2, Burst: 100},
				Login:    Rate{PerSecond: 2, Burst: 100},
				Register: Rate{PerSecond: 0.5, Burst: 50},
				Upload:   Rate{PerSecond: 5, Burst: 100},
			},
			BadTokens: Rate{PerSecond: 5, Burst: 100},
			Buckets:   65536,
		},
	}
}

// Validate says what is wrong with c.
func (c Config) Validate() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("tls_cert and tls_key: want both or none")
	}
	if err := checkURL(c.PublicURL); err != nil {
		return fmt.Errorf("public_url %q: %w", c.PublicURL, err)
	}
	if _, err := parsePrefixes(c.TrustedProxies); err != nil {
		return err
	}
	if err := c.Support.validate(); err != nil {
		return fmt.Errorf("support: %w", err)
	}
	if err := c.Turn.validate(); err != nil {
		return fmt.Errorf("turn: %w", err)
	}
	if err := c.Auth.validate(); err != nil {
		return fmt.Errorf("auth: %w", err)
	}
	if err := c.Limits.validate(); err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	return nil
}

// checkURL refuses what clients could not open; nothing is right.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if text == "" || (err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.RawQuery == "" && u.Fragment == "") {
		return nil
	}
	return errors.New("want a URL such as https://chat.example.org")
}

func (c SupportConfig) validate() error {
	if c.MatrixID != "" {
		if _, err := matrix.ParseUserID(c.MatrixID); err != nil {
			return fmt.Errorf("matrix_id %q: want a user id such as @admin:chat.example.org", c.MatrixID)
		}
	}
	if c.Email != "" {
		if address, err := mail.ParseAddress(c.Email); err != nil || address.Address != c.Email {
			return fmt.Errorf("email %q: want an address such as admin@example.org", c.Email)
		}
	}
	if page, err := url.Parse(c.Page); c.Page != "" && (err != nil || page.Scheme == "" || page.Opaque+page.Host == "") {
		return fmt.Errorf("page %q: want a URL such as https://example.org/help", c.Page)
	}
	return nil
}

func (c AuthConfig) validate() error {
	switch {
	case c.CacheFor < 0 || c.CacheFor > maxCacheFor:
		return fmt.Errorf("cache_for %s: want 0 to %s, which the other services count on", c.CacheFor, maxCacheFor)
	case c.CacheEntries < 1:
		return fmt.Errorf("cache_entries %d: want at least 1", c.CacheEntries)
	case c.Timeout <= 0 || c.Timeout > maxCacheFor:
		return fmt.Errorf("timeout %s: want more than 0 and at most %s, after which the answer would not count", c.Timeout, maxCacheFor)
	case c.MaxPolls < 1:
		return fmt.Errorf("max_polls %d: want at least 1", c.MaxPolls)
	}
	return nil
}

func (c LimitsConfig) validate() error {
	rates := map[string]Rate{"bad_tokens": c.BadTokens}
	for class := range classes {
		rates["account."+className(class)] = c.Account.of(class)
		rates["address."+className(class)] = c.Address.of(class)
	}
	for name, rate := range rates {
		if rate.PerSecond <= 0 || rate.Burst < 1 {
			return fmt.Errorf("%s: want per_second above 0 and burst at least 1", name)
		}
	}
	if c.Buckets < 1 {
		return fmt.Errorf("buckets %d: want at least 1", c.Buckets)
	}
	return nil
}

// classes are the limits that are counted.
var classes = map[httpx.Limit]func(RatesConfig) Rate{
	httpx.LimitDefault:  func(c RatesConfig) Rate { return c.Default },
	httpx.LimitMessage:  func(c RatesConfig) Rate { return c.Message },
	httpx.LimitRoom:     func(c RatesConfig) Rate { return c.Room },
	httpx.LimitLogin:    func(c RatesConfig) Rate { return c.Login },
	httpx.LimitRegister: func(c RatesConfig) Rate { return c.Register },
	httpx.LimitUpload:   func(c RatesConfig) Rate { return c.Upload },
}

func (c RatesConfig) of(class httpx.Limit) Rate { return classes[class](c) }

func className(class httpx.Limit) string {
	if class == httpx.LimitDefault {
		return "default"
	}
	return string(class)
}

func parsePrefixes(texts []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("trusted_proxies: %w", err)
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	return prefixes, nil
}
