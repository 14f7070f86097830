package sync

import (
	"fmt"
	"time"

	"hongyan/service/sync/internal/live"
	"hongyan/service/sync/internal/userlog"
)

// Config is what an administrator may change of the service.
type Config struct {
	// Live bounds what is kept in memory.
	Live live.Config `yaml:"live"`
	// MaxTimeout is the longest that a poll waits, whatever its client asks for.
	MaxTimeout time.Duration `yaml:"max_timeout"`
	// InitialEvents and NewEvents are how many events of a room an answer has at most where the filter does not say: of a
	// room that the client sees for the first time, and of one that it knows. MaxEvents is the most a filter may ask for.
	InitialEvents int `yaml:"initial_events"`
	NewEvents     int `yaml:"new_events"`
	MaxEvents     int `yaml:"max_events"`
	// RoomReads is how many rooms are read from further back at once, for all requests together; RequestReads for one.
	RoomReads    int `yaml:"room_reads"`
	RequestReads int `yaml:"request_reads"`
	// MaxTyping is the longest that somebody types without saying so again.
	MaxTyping time.Duration `yaml:"max_typing"`
	// MaxData is how many pieces of account data a user may store, of all rooms together, MaxGlobalData how many of them
	// that are of no room, and MaxDataBytes how many bytes in all.
	MaxData       int   `yaml:"max_data"`
	MaxGlobalData int   `yaml:"max_global_data"`
	MaxDataBytes  int64 `yaml:"max_data_bytes"`
	// LargeAnswers is how many answers are put together at once that may hold all that is stored for a user.
	LargeAnswers int `yaml:"large_answers"`
	// MaxFilters is how many filters a user may store.
	MaxFilters int `yaml:"max_filters"`
	// KeysPatience is how long an answer that may show encrypted events waits while the service keys does not answer: the messages
	// to the device that these need are to come no later. 0 is not at all.
	KeysPatience time.Duration `yaml:"keys_patience"`
	// MaxTags is how many tags a user may give a room.
	MaxTags int `yaml:"max_tags"`
}

// Default is right for most deployments.
func Default() Config {
	return Config{
		Live: live.Default(), MaxTimeout: 3 * time.Minute,
		InitialEvents: 20, NewEvents: 100, MaxEvents: 1000,
		RoomReads: 32, RequestReads: 8, MaxTyping: 2 * time.Minute, MaxFilters: 1000, MaxTags: 100,
		MaxData: 20_000, MaxGlobalData: 1000, MaxDataBytes: 16 << 20, LargeAnswers: 16,
		KeysPatience: 5 * time.Second,
	}
}

// Validate refuses what cannot work.
func (c Config) Validate() error {
	if err := c.Live.Validate(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	for _, v := range []struct {
		name  string
		value int64
	}{
		{"max_timeout", int64(c.MaxTimeout)}, {"initial_events", int64(c.InitialEvents)}, {"new_events", int64(c.NewEvents)},
		{"max_events", int64(c.MaxEvents)}, {"room_reads", int64(c.RoomReads)}, {"request_reads", int64(c.RequestReads)},
		{"max_typing", int64(c.MaxTyping)}, {"max_data", int64(c.MaxData)}, {"max_global_data", int64(c.MaxGlobalData)},
		{"max_data_bytes", c.MaxDataBytes}, {"large_answers", int64(c.LargeAnswers)}, {"max_filters", int64(c.MaxFilters)},
		{"max_tags", int64(c.MaxTags)},
	} {
		if v.value < 1 {
			return fmt.Errorf("sync: %s must be positive", v.name)
		}
	}
	if c.KeysPatience < 0 {
		return fmt.Errorf("sync: keys_patience must not be negative")
	}
	return nil
}

func (c Config) limits() userlog.Limits {
	return userlog.Limits{Entries: c.MaxData, Global: c.MaxGlobalData, Bytes: c.MaxDataBytes}
}
