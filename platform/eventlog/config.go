package eventlog

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// DefaultCommitters is how many committers a log has on PostgreSQL.
const DefaultCommitters = 3

// DefaultConns is how many connections to PostgreSQL a log with so many committers has at most, besides those of its
// database: one a committer, and one more to settle what was lost.
const DefaultConns = DefaultCommitters + 1

// Config is how a log works. The zero value works.
type Config struct {
	// Committers is how many batches may be under way at once, each of other shards: 3 on PostgreSQL; always 1 on SQLite.
	Committers int
	// MaxBatch bounds the appends of a batch (256), MaxBatchBytes what they weigh (4 MiB).
	MaxBatch, MaxBatchBytes int
	// MaxQueue bounds the appends that wait for each committer (16,384). Beyond it Append waits for its turn to wait.
	MaxQueue int
	// TailBytes bounds the memory for the newest records of all shards (32 MiB); negative is none.
	TailBytes int
	// AttemptTimeout bounds one attempt to write a batch; then its connection is given up (5 s).
	AttemptTimeout time.Duration
	// CommitTimeout bounds all attempts to write a batch (15 s).
	CommitTimeout time.Duration
	// OnCommit, where set, is told each shard's new head after a commit and before Append answers. It must not block.
	OnCommit func(shard int, head int64)
	// Metrics registers the metrics; nil for none.
	Metrics prometheus.Registerer
}

func (c Config) withDefaults() Config {
	set := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	set(&c.Committers, DefaultCommitters)
	set(&c.MaxBatch, 256)
	set(&c.MaxBatchBytes, 4<<20)
	set(&c.MaxQueue, 16384)
	set(&c.TailBytes, 32<<20)
	if c.AttemptTimeout == 0 {
		c.AttemptTimeout = 5 * time.Second
	}
	if c.CommitTimeout == 0 {
		c.CommitTimeout = 15 * time.Second
	}
	if c.OnCommit == nil {
		c.OnCommit = func(int, int64) {}
	}
	return c
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	if c.Committers < 0 || c.MaxBatch < 0 || c.MaxBatchBytes < 0 || c.MaxQueue < 0 ||
		c.AttemptTimeout < 0 || c.CommitTimeout < 0 {
		return errors.New("eventlog: limits must not be negative")
	}
	return nil
}

var identifier = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}$`)

// Validate reports what is wrong with the schema. Its names become part of statements.
func (s Schema) Validate() error {
	if s.Shards < 0 || s.Shards > 4096 {
		return fmt.Errorf("eventlog %s: %d shards: want at most 4096", s.Name, s.Shards)
	}
	names := []string{s.Name}
	if s.Doc != nil {
		names = append(names, s.Doc.Table, s.Doc.Ref, s.Doc.Column)
	}
	for _, t := range s.Tables {
		names = append(names, t.Name)
		columns := make([]string, len(t.Columns))
		for i, c := range t.Columns {
			columns[i] = c.Name
			if c.Type < Int || c.Type > Bool {
				return fmt.Errorf("eventlog %s: column %s.%s has no known type", s.Name, t.Name, c.Name)
			}
		}
		names = append(names, columns...)
		for _, c := range slices.Concat(t.Key, t.Update) {
			if !slices.Contains(columns, c) {
				return fmt.Errorf("eventlog %s: table %s has no column %s", s.Name, t.Name, c)
			}
		}
		for _, c := range t.Add {
			if i := slices.Index(columns, c); i < 0 || t.Columns[i].Type != Int || !slices.Contains(t.Update, c) {
				return fmt.Errorf("eventlog %s: nothing is added to %s.%s: it is no number that is updated", s.Name, t.Name, c)
			}
		}
		if len(t.Columns) == 0 || len(t.Update) > 0 && len(t.Key) == 0 {
			return fmt.Errorf("eventlog %s: table %s lacks columns or a key", s.Name, t.Name)
		}
	}
	for _, n := range names {
		if !identifier.MatchString(n) {
			return fmt.Errorf("eventlog %s: %q is no lower-case identifier", s.Name, n)
		}
	}
	return nil
}
