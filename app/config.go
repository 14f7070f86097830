package app

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hongyan/matrix"
	"hongyan/platform/obs"
	"hongyan/platform/sqldb"
	"hongyan/service/gateway"
	"hongyan/service/identity"
	"hongyan/service/room"
	"hongyan/service/sync"
)

// Config is everything that can be set. Each value has a default that needs no thought.
type Config struct {
	ServerName string `yaml:"server_name"`
	DataDir    string `yaml:"data_dir"`
	Listen     string `yaml:"listen"`
	// AdminListen serves /healthz, /readyz and /metrics; empty for nowhere.
	AdminListen string   `yaml:"admin_listen"`
	Target      []string `yaml:"target"`
	// Registration is open, token or closed. Empty means open while Listen is a loopback address, else closed.
	Registration             string     `yaml:"registration"`
	RegistrationSharedSecret obs.Secret `yaml:"registration_shared_secret"`
	RateLimits               bool       `yaml:"rate_limits"`
	// Database is a PostgreSQL URL, empty for SQLite files in DataDir. Databases overrides it for single services.
	Database     DatabaseURL            `yaml:"database"`
	Databases    map[string]DatabaseURL `yaml:"databases"`
	DrainTimeout time.Duration          `yaml:"drain_timeout"`
	DrainSpread  time.Duration          `yaml:"drain_spread"`
	Log          obs.LogConfig          `yaml:"log"`
	Gateway      gateway.Config         `yaml:"gateway"`
	Identity     identity.Config        `yaml:"identity"`
	Room         room.Config            `yaml:"room"`
	Sync         sync.Config            `yaml:"sync"`
}

// Default is the configuration of `hongyan serve` without anything.
func Default() Config {
	return Config{
		ServerName:   "localhost",
		DataDir:      "./data",
		Listen:       "localhost:8008",
		Target:       []string{targetAll},
		RateLimits:   true,
		DrainTimeout: 20 * time.Second,
		DrainSpread:  500 * time.Millisecond,
		Log:          obs.DefaultLogConfig(),
		Gateway:      gateway.Default(),
		Identity:     identity.Default(),
		Room:         room.Default(),
		Sync:         sync.Default(),
	}
}

// complete fills in what follows from other settings.
func (c *Config) complete() {
	if c.Registration == "" {
		c.Registration = identity.RegistrationClosed
		if isLoopback(c.Listen) {
			c.Registration = identity.RegistrationOpen
		}
	}
	if c.Gateway.PublicURL == "" {
		c.Gateway.PublicURL = c.defaultURL()
	}
	c.Gateway.PublicURL = strings.TrimSuffix(c.Gateway.PublicURL, "/")
	c.Identity.Registration = c.Registration
	c.Identity.RegistrationSharedSecret = c.RegistrationSharedSecret
}

// defaultURL is where clients reach the server, as far as one can tell.
func (c *Config) defaultURL() string {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || !isLoopback(c.Listen) {
		return "https://" + c.ServerName
	}
	scheme := "http://"
	if c.Gateway.TLSCert != "" {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port)
}

// isLoopback tells whether only this machine can reach a listen address.
func isLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	address, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && address.IsLoopback())
}

// Validate says what is wrong with c.
func (c Config) Validate() error {
	if _, err := matrix.ParseServerName(c.ServerName); err != nil {
		return fmt.Errorf("server_name %q: want a host name, such as chat.example.org", c.ServerName)
	}
	if c.DataDir == "" {
		return errors.New("data_dir: must not be empty")
	}
	if err := c.validateListen(); err != nil {
		return err
	}
	modes := []string{identity.RegistrationOpen, identity.RegistrationToken, identity.RegistrationClosed}
	if !slices.Contains(modes, c.Registration) {
		return fmt.Errorf("registration %q: want open, token or closed%s", c.Registration, didYouMean(c.Registration, modes))
	}
	if c.DrainTimeout < 0 || c.DrainSpread < 0 {
		return errors.New("drain_timeout and drain_spread: want 0 or more")
	}
	if _, err := resolveTargets(c.Target); err != nil {
		return err
	}
	if err := c.validateDatabases(); err != nil {
		return err
	}
	return errors.Join(
		inSection("log", c.Log.Validate()),
		inSection("gateway", c.Gateway.Validate()),
		inSection("identity", c.Identity.Validate()),
		inSection("room", c.Room.Validate()),
		inSection("sync", c.Sync.Validate()),
	)
}

func inSection(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

func (c Config) validateDatabases() error {
	if c.Database != "" && !strings.HasPrefix(string(c.Database), "postgres://") &&
		!strings.HasPrefix(string(c.Database), "postgresql://") {
		return errors.New("database: want postgres://…, or nothing for SQLite files in data_dir")
	}
	if !isDatabaseURL(strings.ReplaceAll(string(c.Database), servicePlaceholder, "service")) {
		return errors.New("database: cannot be read as a PostgreSQL URL, such as postgres://user:password@host/hongyan")
	}
	for name, address := range c.Databases {
		if err := (sqldb.Config{URL: string(address)}).Validate(); err != nil || !isDatabaseURL(string(address)) {
			return fmt.Errorf("databases: %s: want postgres://… or sqlite:PATH", name) // without the URL: it may hold a password
		}
		if known := servicesWithDatabase(); !slices.Contains(known, name) {
			return fmt.Errorf("databases: %q has no database%s", name, didYouMean(name, known))
		}
	}
	return nil
}

// isDatabaseURL tells whether the driver understands a URL of PostgreSQL; others are none of its business.
func isDatabaseURL(address string) bool {
	if !strings.HasPrefix(address, "postgres") {
		return true
	}
	_, err := pgx.ParseConfig(address)
	return err == nil
}
