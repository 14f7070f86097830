package bench

import (
	"fmt"
	"net/url"
	"time"
)

// Mode is what the users do.
type Mode string

// Modes of a run.
const (
	// ModePairs has every two users talk to each other in a room of their own.
	ModePairs Mode = "pairs"
	// ModeGroup has a few senders talk to everybody in one room.
	ModeGroup Mode = "group"
	// ModeMixed has every two users talk to each other and, in turn, to everybody in one room.
	ModeMixed Mode = "mixed"
	// ModeIdle has everybody wait on /sync and nobody speak, though every two users share a room.
	ModeIdle Mode = "idle"
)

// Config says what a run does.
type Config struct {
	// URL is the homeserver's base URL, without a path.
	URL string
	// Mode is what the users do.
	Mode Mode
	// Users is how many accounts take part.
	Users int
	// Senders is how many of them send in ModeGroup.
	Senders int
	// Duration is how long messages are sent, after Warmup, whose messages are checked but not measured.
	Duration, Warmup time.Duration
	// Drain is the longest wait for what was accepted and is not delivered yet.
	Drain time.Duration
	// Rate is how many messages a second all senders together try to send; 0 sends the next one as soon as
	// the last was accepted.
	Rate float64
	// BodyBytes is the length of a message's text.
	BodyBytes int
	// Prefix starts the names of the accounts; a run adds its own random part.
	Prefix string
	// SharedSecret, where set, registers through /_synapse/admin/v1/register. RegistrationToken is used where the
	// server asks for one.
	SharedSecret, RegistrationToken string
	// Setup is how many accounts are made at once.
	Setup int
	// PID is the server's process; 0 looks for who listens on the URL's port of this machine.
	PID int
	// Errands is how many requests of other kinds a second are made beside the messages, by accounts of their own: rooms are
	// made and joined, profiles and account data changed, receipts and typing sent, devices logged in, history read.
	Errands float64
	// Accepted, where set, is told of every message that the server acknowledged.
	Accepted func(Message)
	// Attempted, where set, is told of every request of the run, after its end.
	Attempted func(Attempt)
	// Delivered, where set, is told when another user's sync brought a message, with when that was sent.
	Delivered func(sent, seen time.Time)
}

// Attempt is one request, as a client that does not repeat it saw it.
type Attempt struct {
	// Kind is what was asked: send, sync, createRoom, …
	Kind         string
	Began, Ended time.Time
	// Again says that it repeats one that failed.
	Again bool
	// Once says that nobody may repeat it once it was sent.
	Once bool
	Err  error
}

// Message is one that was acknowledged, with what it takes to send it again.
type Message struct {
	Sender                 *Client
	RoomID, TxnID, EventID string
	Content                []byte
}

// DefaultConfig is a run of 200 users in pairs for 30 seconds.
func DefaultConfig() Config {
	return Config{
		URL: "http://localhost:8008", Mode: ModePairs, Users: 200, Senders: 5,
		Duration: 30 * time.Second, Warmup: 3 * time.Second, Drain: 20 * time.Second,
		BodyBytes: 100, Prefix: "bench", Setup: 8,
	}
}

// Validate says what is wrong with the configuration.
func (c Config) Validate() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return fmt.Errorf("the URL %q cannot be read: %w", c.URL, err)
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return fmt.Errorf("the URL %q is not of the form http://host:port", c.URL)
	case c.Mode != ModePairs && c.Mode != ModeGroup && c.Mode != ModeMixed && c.Mode != ModeIdle:
		return fmt.Errorf("the mode is %q: it must be pairs, group, mixed or idle", c.Mode)
	case c.Users < 1, c.Mode != ModeGroup && c.Users%2 != 0, c.Mode == ModeGroup && c.Users < 2:
		return fmt.Errorf("%d users do not fit the mode %s", c.Users, c.Mode)
	case c.Mode == ModeGroup && (c.Senders < 1 || c.Senders > c.Users):
		return fmt.Errorf("%d senders: there must be between 1 and %d", c.Senders, c.Users)
	case c.Duration <= 0 || c.Duration > time.Hour:
		return fmt.Errorf("the duration is %s: it must be positive and at most an hour", c.Duration)
	case c.Warmup < 0 || c.Drain <= 0:
		return fmt.Errorf("the warm-up must not be negative and the drain must be positive")
	case c.Rate < 0 || c.Errands < 0:
		return fmt.Errorf("the rates are %g and %g: they must not be negative", c.Rate, c.Errands)
	case c.BodyBytes < 0 || c.BodyBytes > 60_000:
		return fmt.Errorf("the body is %d bytes: it must be between 0 and 60000", c.BodyBytes)
	case c.Setup < 1:
		return fmt.Errorf("accounts made at once: at least 1")
	}
	return nil
}
