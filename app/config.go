package app

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hongyan/matrix"
	"hongyan/platform/cluster"
	"hongyan/platform/discovery"
	"hongyan/platform/eventlog"
	"hongyan/platform/obs"
	"hongyan/platform/sqldb"
	"hongyan/service/gateway"
	"hongyan/service/identity"
	"hongyan/service/keys"
	"hongyan/service/media"
	"hongyan/service/room"
	"hongyan/service/social"
	"hongyan/service/sync"
)

// Config is everything that can be set. Each value has a default that needs no thought.
type Config struct {
	ServerName string `yaml:"server_name"`
	DataDir    string `yaml:"data_dir"`
	Listen     string `yaml:"listen"`
	// AdminListen serves /healthz, /readyz, /metrics and more; empty for nowhere, adminAuto for this machine only.
	AdminListen string `yaml:"admin_listen"`
	// AdminToken is what readers of it must show, but for /healthz and /readyz. AdminOpen lets everybody read on an address
	// that other machines reach.
	AdminToken obs.Secret `yaml:"admin_token"`
	AdminOpen  bool       `yaml:"admin_open"`
	Target     []string   `yaml:"target"`
	// Registration is open, token or closed. Empty means open while Listen is a loopback address and no other process belongs
	// to the server, else closed.
	Registration             string     `yaml:"registration"`
	RegistrationSharedSecret obs.Secret `yaml:"registration_shared_secret"`
	RateLimits               bool       `yaml:"rate_limits"`
	// Database is a PostgreSQL URL, empty for SQLite files in DataDir. Databases overrides it for single services.
	Database  DatabaseURL            `yaml:"database"`
	Databases map[string]DatabaseURL `yaml:"databases"`
	// DatabaseMaxConns is how many connections to PostgreSQL a service of this process may have.
	DatabaseMaxConns int                 `yaml:"database_max_conns"`
	DrainTimeout     time.Duration       `yaml:"drain_timeout"`
	DrainSpread      time.Duration       `yaml:"drain_spread"`
	Log              obs.LogConfig       `yaml:"log"`
	Cluster          cluster.Config      `yaml:"cluster"`
	DNS              discovery.DNSConfig `yaml:"dns"`
	Trace            obs.TraceConfig     `yaml:"trace"`
	Gateway          gateway.Config      `yaml:"gateway"`
	Identity         identity.Config     `yaml:"identity"`
	Room             room.Config         `yaml:"room"`
	Keys             keys.Config         `yaml:"keys"`
	Sync             sync.Config         `yaml:"sync"`
	Media            media.Config        `yaml:"media"`
	Social           social.Config       `yaml:"social"`
}

// Default is the configuration of `hongyan serve` without anything.
func Default() Config {
	return Config{
		ServerName:       "localhost",
		DataDir:          "./data",
		Listen:           "localhost:8008",
		AdminListen:      adminAuto,
		Target:           []string{targetAll},
		RateLimits:       true,
		DatabaseMaxConns: 10,
		DrainTimeout:     20 * time.Second,
		DrainSpread:      500 * time.Millisecond,
		Log:              obs.DefaultLogConfig(),
		Cluster:          cluster.Default(),
		DNS:              discovery.DNSConfig{Zone: discovery.DefaultZone},
		Trace:            obs.DefaultTraceConfig(),
		Gateway:          gateway.Default(),
		Identity:         identity.Default(),
		Room:             room.Default(),
		Keys:             keys.Default(),
		Sync:             sync.Default(),
		Media:            media.Default(),
		Social:           social.Default(),
	}
}

// complete fills in what follows from other settings.
func (c *Config) complete() {
	if c.Registration == "" {
		c.Registration = identity.RegistrationClosed
		// Who shares a registry does not know where the others listen.
		if isLoopback(c.Listen) && !c.Cluster.Shared() {
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
	return cluster.IsLoopback(host)
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
	if err := c.validateTargets(); err != nil {
		return err
	}
	if err := c.validateDatabases(); err != nil {
		return err
	}
	return errors.Join(
		inSection("log", c.Log.Validate()),
		inSection("cluster", c.Cluster.Validate()),
		inSection("dns", c.DNS.Validate()),
		inSection("trace", c.Trace.Validate()),
		inSection("gateway", c.Gateway.Validate()),
		inSection("identity", c.Identity.Validate()),
		inSection("room", c.Room.Validate()),
		inSection("keys", c.Keys.Validate()),
		inSection("sync", c.Sync.Validate()),
		inSection("media", c.Media.Validate()),
		inSection("social", c.Social.Validate()),
	)
}

// validateTargets says what is wrong with the choice of services: whoever is alone needs all of them, and what several
// processes share is not in files of one.
func (c Config) validateTargets() error {
	services, err := resolveTargets(c.Target)
	if err != nil {
		return err
	}
	if !c.Cluster.Shared() {
		if missing := missingFrom(services); len(missing) > 0 {
			return fmt.Errorf("target %s: %s would be missing: services in several processes need a registry that they share "+
				"(cluster.registry), one process needs all of them (target all)",
				strings.Join(c.Target, ","), strings.Join(missing, ", "))
		}
		return nil
	}
	for _, t := range services {
		own := string(c.Databases[t.name])
		if t.migrate != nil && !strings.HasPrefix(own, "postgres") && (own != "" || c.Database == "") {
			return fmt.Errorf("target %s: with a shared registry its database must be one that all instances reach: "+
				"give a PostgreSQL URL (database, or databases.%s)", t.name, t.name)
		}
		if t.name == "media" && c.Media.Path == "" && c.Media.S3.Endpoint == "" {
			return errors.New("target media: with a shared registry its content must be where all instances reach it: " +
				"name a folder that they share (media.path), or a bucket (media.s3)")
		}
	}
	return nil
}

func inSection(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

// minConns is how few connections a service works with: those of its logs, and two to read with.
const minConns = max(eventlog.DefaultConns, keys.LogConns) + 2

func (c Config) validateDatabases() error {
	if c.DatabaseMaxConns < minConns {
		return fmt.Errorf("database_max_conns: want at least %d", minConns)
	}
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

// ProcessName is what the process is called in traces and log lines: the service that it runs, or the program where it
// runs several.
func (c Config) ProcessName() string {
	if len(c.Target) == 1 && c.Target[0] != targetAll {
		return c.Target[0]
	}
	return "hongyan"
}
