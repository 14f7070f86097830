package keys

import (
	"fmt"
	"time"

	"hongyan/service/keys/internal/backup"
)

// Config is what an administrator may change of the service.
type Config struct {
	// MaxOneTimeKeys is how many one-time keys a device may have, of all algorithms together; MaxKeyBytes how large one may
	// be, and a fallback key.
	MaxOneTimeKeys int `yaml:"max_one_time_keys"`
	MaxKeyBytes    int `yaml:"max_key_bytes"`
	// MaxDeviceKeyBytes is how large a device's keys, or a cross-signing key, may be, in bytes.
	MaxDeviceKeyBytes int `yaml:"max_device_key_bytes"`
	// MaxSignatures is how many signatures a user may have made, of keys of all users together.
	MaxSignatures int `yaml:"max_signatures"`
	// SignatureKeys is of how many keys one request may upload signatures.
	SignatureKeys int `yaml:"signature_keys"`
	// QueryUsers is how many users one query may ask for; ClaimDevices how many devices one claim.
	QueryUsers   int `yaml:"query_users"`
	ClaimDevices int `yaml:"claim_devices"`
	// ClaimTimeout is how long one claim may wait for the instances that hand keys out.
	ClaimTimeout time.Duration `yaml:"claim_timeout"`
	// LargeQueries is how many queries for many users, and for changes, are answered at once.
	LargeQueries int `yaml:"large_queries"`
	// Backup bounds key backups.
	Backup backup.Config `yaml:"backup"`
	// ToDevice bounds messages to devices.
	ToDevice ToDeviceConfig `yaml:"to_device"`
	// CommitTimeout bounds what is written when no client waits for it.
	CommitTimeout time.Duration `yaml:"commit_timeout"`
}

// Default is right for most deployments.
func Default() Config {
	return Config{
		MaxOneTimeKeys: 1000, MaxKeyBytes: 4 << 10, MaxDeviceKeyBytes: 16 << 10, MaxSignatures: 20_000, SignatureKeys: 500,
		QueryUsers: 10_000, ClaimDevices: 10_000, ClaimTimeout: 10 * time.Second, LargeQueries: 8, ToDevice: defaultToDevice(),
		CommitTimeout: 10 * time.Second, Backup: backup.Default(),
	}
}

// Validate refuses what cannot work.
func (c Config) Validate() error {
	for _, v := range []struct {
		name  string
		value int64
	}{
		{"max_one_time_keys", int64(c.MaxOneTimeKeys)}, {"max_key_bytes", int64(c.MaxKeyBytes)},
		{"max_device_key_bytes", int64(c.MaxDeviceKeyBytes)}, {"max_signatures", int64(c.MaxSignatures)},
		{"signature_keys", int64(c.SignatureKeys)},
		{"query_users", int64(c.QueryUsers)}, {"claim_devices", int64(c.ClaimDevices)},
		{"claim_timeout", int64(c.ClaimTimeout)},
		{"large_queries", int64(c.LargeQueries)}, {"commit_timeout", int64(c.CommitTimeout)},
	} {
		if v.value < 1 {
			return fmt.Errorf("keys: %s must be positive", v.name)
		}
	}
	if err := c.Backup.Validate(); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return c.ToDevice.validate()
}
