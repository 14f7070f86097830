package room

import (
	"errors"
	"fmt"
	"time"

	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/eventlog"
)

// Config is the room service's.
type Config struct {
	// Shards is the number of shards of a new room log; an existing one keeps its own.
	Shards int `yaml:"shards"`
	// DefaultVersion is the version of rooms whose creator names none.
	DefaultVersion string `yaml:"default_version"`
	// CacheBytes bounds the memory for the state of rooms, in bytes, as estimated.
	CacheBytes int64 `yaml:"cache_bytes"`
	// QueueLength bounds the operations that wait for one room; further ones are answered 429.
	QueueLength int `yaml:"queue_length"`
	// BatchOperations bounds how many operations of a room share an append.
	BatchOperations int `yaml:"batch_operations"`
	// CommitTimeout bounds one operation, with all its repetitions, one write of receipts, and each look of those who
	// follow other services.
	CommitTimeout time.Duration `yaml:"commit_timeout"`
	// MaxInvites bounds the invites of one createRoom.
	MaxInvites int `yaml:"max_invites"`
	// FollowConcurrency bounds how many rooms are written at once for changes of profiles.
	FollowConcurrency int `yaml:"follow_concurrency"`
	// DepartAfter is when the rooms of a deactivated user are looked through for the second time: longer than any request
	// may take from the moment when its token was looked up, at the gateway and here.
	DepartAfter time.Duration `yaml:"depart_after"`
	// MaxAliases bounds the aliases of a room.
	MaxAliases int `yaml:"max_aliases"`
	// MaxState bounds the state events of a room besides those of members.
	MaxState int `yaml:"max_state"`
	// OpenDirectory shows the directory, and summaries of rooms that everybody may enter or read, without an access token.
	OpenDirectory bool `yaml:"open_directory"`
	// IdentityServers are those that may be asked who has an address, by host name and port; without any nobody is invited by address.
	IdentityServers []string `yaml:"identity_servers"`
	// Retention says how long messages are kept.
	Retention Retention `yaml:"retention"`
}

// Default returns the configuration that needs no thought.
func Default() Config {
	return Config{
		Shards:            eventlog.DefaultShards,
		DefaultVersion:    string(event.DefaultVersion),
		CacheBytes:        128 << 20,
		QueueLength:       1024,
		BatchOperations:   128,
		CommitTimeout:     15 * time.Second,
		MaxInvites:        500,
		FollowConcurrency: 8,
		DepartAfter:       2 * time.Minute,
		MaxAliases:        1000,
		MaxState:          50_000,
		OpenDirectory:     true,
		Retention:         defaultRetention(),
	}
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	if !event.RoomVersion(c.DefaultVersion).Supported() {
		return fmt.Errorf("default_version %q is no supported room version", c.DefaultVersion)
	}
	for _, name := range c.IdentityServers {
		if _, err := matrix.ParseServerName(name); err != nil {
			return fmt.Errorf("identity_servers: %q is no host name with an optional port", name)
		}
	}
	if c.Shards < 1 || c.CacheBytes < 1 || c.QueueLength < 1 || c.BatchOperations < 1 || c.CommitTimeout <= 0 ||
		c.MaxInvites < 0 || c.FollowConcurrency < 1 || c.DepartAfter < c.CommitTimeout || c.MaxAliases < 1 || c.MaxState < 1 {
		return errors.New("limits of the room service must be positive, and depart_after no less than commit_timeout")
	}
	return c.Retention.validate()
}
