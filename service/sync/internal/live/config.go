package live

import (
	"fmt"
	"time"
)

// Config bounds what a node keeps in memory.
type Config struct {
	// RoomEvents and RoomBytes bound one room's ring of events.
	RoomEvents int   `yaml:"room_events"`
	RoomBytes  int64 `yaml:"room_bytes"`
	// RoomReceipts bounds the receipts that a room keeps.
	RoomReceipts int `yaml:"room_receipts"`
	// RingBytes bounds the rings of all rooms together.
	RingBytes int64 `yaml:"ring_bytes"`
	// NoteBytes bounds the notes of the past of all rooms together.
	NoteBytes int64 `yaml:"note_bytes"`
	// UserEntries bounds the newest entries of a user's log that stay in memory.
	UserEntries int `yaml:"user_entries"`
	// UserSessions bounds the devices of a user that are remembered.
	UserSessions int `yaml:"user_sessions"`
	// UserIdle is how long a user stays in memory after the last request.
	UserIdle time.Duration `yaml:"user_idle"`
	// Loads is how many users are loaded at once.
	Loads int `yaml:"loads"`
}

// Default returns limits for a machine with a few GiB of memory.
func Default() Config {
	return Config{
		RoomEvents: 256, RoomBytes: 512 << 10, RoomReceipts: 512, RingBytes: 128 << 20, NoteBytes: 64 << 20,
		UserEntries: 32, UserSessions: 32, UserIdle: 3 * time.Minute, Loads: 16,
	}
}

// Validate refuses limits with which a node cannot work.
func (c Config) Validate() error {
	for name, v := range map[string]int64{
		"room_events": int64(c.RoomEvents), "room_bytes": c.RoomBytes, "room_receipts": int64(c.RoomReceipts),
		"ring_bytes": c.RingBytes, "note_bytes": c.NoteBytes, "user_entries": int64(c.UserEntries), "user_sessions": int64(c.UserSessions),
		"user_idle": int64(c.UserIdle), "loads": int64(c.Loads),
	} {
		if v < 1 {
			return fmt.Errorf("%s must be positive, not %d", name, v)
		}
	}
	return nil
}
