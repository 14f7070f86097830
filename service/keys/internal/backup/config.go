package backup

import (
	"fmt"

	"hongyan/service/keys/internal/backup/store"
)

// Config is what an administrator may change of key backup.
type Config struct {
	// MaxVersions is how many backups a user may have, MaxKeys how many keys in all of them together, and MaxBytes how many
	// bytes of session_data.
	MaxVersions int   `yaml:"max_versions"`
	MaxKeys     int   `yaml:"max_keys"`
	MaxBytes    int64 `yaml:"max_bytes"`
	// RequestKeys is how many keys a request may store.
	RequestKeys int `yaml:"request_keys"`
	// LargeRequests is how many requests that store many keys are worked on at once.
	LargeRequests int `yaml:"large_requests"`
}

// Default is right for most deployments.
func Default() Config {
	return Config{
		MaxVersions: 100, MaxKeys: 500_000, MaxBytes: 1 << 30,
		RequestKeys: 10_000, LargeRequests: 4,
	}
}

// Validate refuses what cannot work.
func (c Config) Validate() error {
	for _, v := range []struct {
		name  string
		value int64
	}{
		{"max_versions", int64(c.MaxVersions)}, {"max_keys", int64(c.MaxKeys)}, {"max_bytes", c.MaxBytes},
		{"request_keys", int64(c.RequestKeys)}, {"large_requests", int64(c.LargeRequests)},
	} {
		if v.value < 1 {
			return fmt.Errorf("backup: %s must be positive", v.name)
		}
	}
	return nil
}

func (c Config) limits() store.Limits {
	return store.Limits{Versions: c.MaxVersions, Keys: c.MaxKeys, Bytes: c.MaxBytes}
}
