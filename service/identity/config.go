package identity

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"hongyan/platform/obs"
	"hongyan/service/identity/internal/password"
)

// Modes of registration.
const (
	RegistrationOpen   = "open"
	RegistrationToken  = "token"
	RegistrationClosed = "closed"
)

// Values of Config.DefaultDisplayName.
const (
	DisplayNameLocalpart = "localpart"
	DisplayNameNone      = "none"
)

// Values of Config.ProfileLookup.
const (
	ProfileLookupAll    = "all"
	ProfileLookupUsers  = "users"
	ProfileLookupShared = "shared"
)

// Config is how the service works.
type Config struct {
	// Registration says who may register: anybody (open), who has a registration token (token), nobody (closed).
	Registration string `yaml:"registration"`
	// GuestAccess lets anybody be a guest, who may look into rooms and join those that are open to guests.
	GuestAccess bool `yaml:"guest_access"`
	// RegistrationTokens may be used any number of times, beside those that are kept in the database.
	RegistrationTokens []obs.Secret `yaml:"registration_tokens"`
	// RegistrationSharedSecret opens /_synapse/admin/v1/register to who knows it; empty closes it.
	RegistrationSharedSecret obs.Secret `yaml:"registration_shared_secret"`
	// Terms are the documents that a user must accept to register.
	Terms []Policy `yaml:"terms"`
	// DefaultDisplayName is the display name of new accounts: localpart or none.
	DefaultDisplayName string `yaml:"default_display_name"`
	// ProfileLookup says who may look a profile up: everybody (all), who has an account (users), or who shares a room with the
	// user or finds them in a public one (shared).
	ProfileLookup string         `yaml:"profile_lookup"`
	Passwords     PasswordConfig `yaml:"passwords"`
	Tokens        TokenConfig    `yaml:"tokens"`
	Auth          AuthConfig     `yaml:"auth_sessions"`
	LoginFailures FailureConfig  `yaml:"login_failures"`
	// MaxDevices is how many devices a user may have; a log-in beyond that ends the one that was not seen for longest.
	MaxDevices int `yaml:"max_devices"`
	// ForgetTimeout is how long gateways may know of a token that has ended.
	ForgetTimeout time.Duration `yaml:"forget_timeout"`
	// SeenInterval is how often it is stored when devices were last seen.
	SeenInterval time.Duration `yaml:"seen_interval"`
}

// Policy is a document of the stage m.login.terms.
type Policy struct {
	// ID tells policies apart ("terms_of_service").
	ID      string `yaml:"id"`
	Version string `yaml:"version"`
	// Languages are the translations, by language code.
	Languages map[string]PolicyText `yaml:"languages"`
}

// PolicyText is a translation of a policy.
type PolicyText struct {
	Name string `yaml:"name" json:"name"`
	URL  string `yaml:"url" json:"url"`
}

// PasswordConfig is how passwords are hashed.
type PasswordConfig struct {
	password.Params `yaml:",inline"`
	// Concurrency is how many are hashed at once; 0 is one a core.
	Concurrency int `yaml:"concurrency"`
	// Queue is how many requests may wait for their turn.
	Queue int `yaml:"queue"`
	// MinLength is the length below which a new password is refused, in characters.
	MinLength int `yaml:"min_length"`
}

// TokenConfig is how long tokens live. 0 is for ever.
type TokenConfig struct {
	// Access is for clients that do not refresh.
	Access time.Duration `yaml:"access"`
	// Refreshable is for the access tokens of clients that do.
	Refreshable time.Duration `yaml:"refreshable"`
	// Refresh is for refresh tokens.
	Refresh time.Duration `yaml:"refresh"`
	// Login is for the login tokens that a user's device gets for another one; never for ever.
	Login time.Duration `yaml:"login"`
}

// AuthConfig bounds the sessions of user-interactive authentication.
type AuthConfig struct {
	Lifetime time.Duration `yaml:"lifetime"`
	// Max is how many are kept; the oldest go first.
	Max int `yaml:"max"`
	// MaxPerUser is how many are kept of one user.
	MaxPerUser int `yaml:"max_per_user"`
}

// FailureConfig bounds failed password checks of one account. What comes from one address for all accounts is the
// gateway's to bound.
type FailureConfig struct {
	// Burst is how many may follow each other from one address, and from one session that has to prove its password;
	// 0 lifts the limit.
	Burst int `yaml:"burst"`
	// Interval is after what time one more is possible.
	Interval time.Duration `yaml:"interval"`
	// AccountBurst and AccountInterval are the same for all addresses together, but those where devices of the account
	// were seen last. An AccountBurst of 0 lifts the limit.
	AccountBurst    int           `yaml:"account_burst"`
	AccountInterval time.Duration `yaml:"account_interval"`
}

// Default returns the configuration of a server for which nothing was configured. Registration is closed.
func Default() Config {
	return Config{
		Registration:       RegistrationClosed,
		DefaultDisplayName: DisplayNameLocalpart,
		ProfileLookup:      ProfileLookupAll,
		// OWASP's recommendation for argon2id: about 30 ms of one core.
		Passwords: PasswordConfig{
			Params: password.Params{MemoryKiB: 19 << 10, Iterations: 2, Parallelism: 1}, Queue: 256, MinLength: 1,
		},
		Tokens: TokenConfig{Refreshable: 5 * time.Minute, Login: 2 * time.Minute},
		Auth:   AuthConfig{Lifetime: 30 * time.Minute, Max: 50_000, MaxPerUser: 16},
		LoginFailures: FailureConfig{
			Burst: 10, Interval: 10 * time.Second, AccountBurst: 100, AccountInterval: 2 * time.Second,
		},
		MaxDevices:    500,
		ForgetTimeout: 2 * time.Second,
		SeenInterval:  2 * time.Minute,
	}
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("identity: "+format, args...))
		}
	}
	switch c.Registration {
	case RegistrationOpen, RegistrationToken, RegistrationClosed:
	default:
		check(false, "registration %q: want open, token or closed", c.Registration)
	}
	check(c.DefaultDisplayName == DisplayNameLocalpart || c.DefaultDisplayName == DisplayNameNone,
		"default_display_name %q: want localpart or none", c.DefaultDisplayName)
	switch c.ProfileLookup {
	case ProfileLookupAll, ProfileLookupUsers, ProfileLookupShared:
	default:
		check(false, "profile_lookup %q: want all, users or shared", c.ProfileLookup)
	}
	for i, t := range c.RegistrationTokens {
		check(validRegistrationToken(t.Reveal()),
			"registration_tokens[%d]: want 1 to 64 of the characters A-Z a-z 0-9 - . _ ~", i)
	}
	for i, p := range c.Terms {
		check(p.ID != "" && p.Version != "" && len(p.Languages) > 0, "terms[%d]: want id, version and languages", i)
	}
	p := c.Passwords
	check(p.Iterations >= 1 && p.Parallelism >= 1 && p.MemoryKiB >= 8*uint32(p.Parallelism),
		"passwords: want iterations and parallelism of at least 1, and memory_kib of 8 times parallelism")
	check(p.MemoryKiB <= 4<<20, "passwords: memory_kib %d: want at most 4 GiB", p.MemoryKiB)
	check(p.Concurrency >= 0 && p.Queue >= 0, "passwords: concurrency and queue must not be negative")
	check(p.MinLength <= maxPasswordLength, "passwords: min_length %d: want at most %d", p.MinLength, maxPasswordLength)
	check(c.Tokens.Access >= 0 && c.Tokens.Refreshable >= 0 && c.Tokens.Refresh >= 0, "tokens: lifetimes must not be negative")
	check(c.Tokens.Login > 0, "tokens: login must be positive")
	check(c.Auth.Lifetime > 0 && c.Auth.Max > 0 && c.Auth.MaxPerUser > 0, "auth_sessions: all values must be positive")
	f := c.LoginFailures
	check(f.Burst <= 0 || f.Interval > 0, "login_failures: interval must be positive")
	check(f.AccountBurst <= 0 || f.AccountInterval > 0, "login_failures: account_interval must be positive")
	check(c.MaxDevices > 0, "max_devices must be positive")
	check(c.ForgetTimeout > 0 && c.SeenInterval > 0, "forget_timeout and seen_interval must be positive")
	return errors.Join(errs...)
}

func (p PasswordConfig) concurrency() int {
	if p.Concurrency > 0 {
		return p.Concurrency
	}
	return runtime.GOMAXPROCS(0)
}
