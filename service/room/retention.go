package room

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tidwall/gjson"

	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
	"hongyan/service/room/internal/store"
)

// typeRetention is the state event, with an empty state key, that says how long a room's messages are kept (MSC1763).
const typeRetention = "m.room.retention"

// Retention says how long messages are kept: see docs/adr/0025-retention.md.
type Retention struct {
	// Enabled removes messages whose lifetime has passed.
	Enabled bool `yaml:"enabled"`
	// Default is for rooms that say nothing.
	Default RetentionDefault `yaml:"default"`
	// Min and Max bound what rooms say; 0 is no bound. Without a least lifetime whoever may send a room's state can have its messages
	// removed at the next run, reported ones too.
	Min time.Duration `yaml:"min"`
	Max time.Duration `yaml:"max"`
	// Every is how often expired messages are removed.
	Every time.Duration `yaml:"every"`
	// Batch is how many events one transaction removes, Pause how long it then waits at the least.
	Batch int           `yaml:"batch"`
	Pause time.Duration `yaml:"pause"`
}

// RetentionDefault is what holds in rooms without m.room.retention.
type RetentionDefault struct {
	// MaxLifetime is how old messages become; 0 keeps them.
	MaxLifetime time.Duration `yaml:"max_lifetime"`
}

func defaultRetention() Retention {
	return Retention{Min: defaultMin, Every: time.Hour, Batch: 250, Pause: 20 * time.Millisecond}
}

const (
	minBatch, maxBatch = 1, 2000
	// defaultMin leaves time to look at what was reported.
	defaultMin = 24 * time.Hour
	// minEvery keeps the looks at the database apart.
	minEvery = time.Second
	// maxPause keeps one transaction a minute going.
	maxPause = time.Minute
)

func (r Retention) validate() error {
	switch {
	case r.Batch < minBatch || r.Batch > maxBatch:
		return fmt.Errorf("retention.batch is %d: want %d to %d", r.Batch, minBatch, maxBatch)
	case r.Every < minEvery:
		return fmt.Errorf("retention.every is %s: want at least %s", r.Every, minEvery)
	case r.Pause < 0 || r.Pause > maxPause:
		return fmt.Errorf("retention.pause is %s: want up to %s", r.Pause, maxPause)
	case r.Min < 0 || r.Max < 0 || r.Default.MaxLifetime < 0:
		return errors.New("lifetimes of retention must not be negative")
	case r.Max > 0 && r.Min > r.Max:
		return fmt.Errorf("retention.min is %s, which is more than retention.max", r.Min)
	case r.Default.MaxLifetime > 0 && r.clamp(r.Default.MaxLifetime) != r.Default.MaxLifetime:
		return fmt.Errorf("retention.default.max_lifetime is not within retention.min, %s, and retention.max", r.Min)
	}
	return nil
}

// settings is what the times of checks follow from.
func (r Retention) settings() string {
	return fmt.Sprint(r.Default.MaxLifetime, " ", r.Min, " ", r.Max)
}

func (r Retention) clamp(d time.Duration) time.Duration {
	if r.Max > 0 {
		d = min(d, r.Max)
	}
	return max(d, r.Min)
}

// policy is what a room says of its messages, in milliseconds; 0 is nothing.
type policy struct{ minLifetime, maxLifetime int64 }

// parsePolicy reads an m.room.retention. What is no positive integer counts as absent, and so do a least lifetime that is more than
// the greatest and it.
func parsePolicy(pdu []byte) policy {
	p := policy{lifetimeIn(pdu, "min_lifetime"), lifetimeIn(pdu, "max_lifetime")}
	if p.maxLifetime > 0 && p.minLifetime > p.maxLifetime {
		return policy{}
	}
	return p
}

func lifetimeIn(pdu []byte, key string) int64 {
	v := gjson.GetBytes(pdu, "content."+key)
	if v.Type != gjson.Number {
		return 0
	}
	var n int64
	if json.Unmarshal([]byte(v.Raw), &n) != nil || n <= 0 || n > canonicaljson.MaxInt {
		return 0
	}
	return n
}

// lifetime is how old a room's messages become; 0 is for ever. A room that says only how long they live at the least has the
// default, or that where it is more.
func (r Retention) lifetime(p policy) time.Duration {
	milliseconds := func(n int64) time.Duration { return time.Duration(min(n, maxLifetimeMS)) * time.Millisecond }
	switch {
	case p.maxLifetime > 0:
		return r.clamp(milliseconds(p.maxLifetime))
	case r.Default.MaxLifetime == 0:
		return 0
	default:
		return r.clamp(max(r.Default.MaxLifetime, milliseconds(p.minLifetime)))
	}
}

// maxLifetimeMS is a century, which is for ever.
const maxLifetimeMS = 100 * 365 * 24 * 3600 * 1000

// lifetimeOf is the lifetime of a room's messages; 0 is for ever.
func (r Retention) lifetimeOf(e *store.Expiring) time.Duration {
	return r.lifetime(parsePolicy(e.Policy))
}

// isRetention tells whether an event says how long the room's messages are kept.
func isRetention(e *event.Event) bool {
	return e.Type() == typeRetention && e.IsState() && e.StateKeyValue() == ""
}
