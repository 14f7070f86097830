package social

import (
	"fmt"
	"time"
)

// Config is what an administrator may change of the service.
type Config struct {
	// DirectoryAllUsers lets everybody find everybody, whether or not they share a room.
	DirectoryAllUsers bool `yaml:"directory_all_users"`
	// DirectorySearches is how many searches of the user directory an instance does at once; more wait.
	DirectorySearches int `yaml:"directory_searches"`
	// CommitTimeout bounds what is written when no client waits for it.
	CommitTimeout time.Duration `yaml:"commit_timeout"`
}

// Default is right for most deployments.
func Default() Config {
	return Config{DirectorySearches: 16, CommitTimeout: 30 * time.Second}
}

// Validate refuses what cannot work.
func (c Config) Validate() error {
	if c.DirectorySearches < 1 {
		return fmt.Errorf("social: directory_searches must be positive")
	}
	if c.CommitTimeout < 1 {
		return fmt.Errorf("social: commit_timeout must be positive")
	}
	return nil
}
