package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/obs"
)

// ErrEpochChanged says that what a follower knows is not of this log any more: the log was restored from a
// backup. The follower has to begin anew.
var ErrEpochChanged = errors.New("log has another epoch, or is shorter than what was read of it")

// Source is a log as followers see it: a *Log, or one at the other end of a connection.
type Source interface {
	Heads(ctx context.Context) (Heads, error)
	Read(ctx context.Context, shard int, after int64, limit int) (records []Record, through int64, err error)
}

var _ Source = (*Log)(nil)

// FollowConfig is how a follower works. Only what differs from the defaults need be set.
type FollowConfig struct {
	// From is where to begin: the epoch, and for each shard the position that is known already. With an epoch of 0 the
	// follower begins at From.Shard, or at the beginning where that is empty, whatever the log's epoch is.
	From Heads
	// Poll is how often the heads are asked for (1 s), PollBusDown while BusDown reports that wake-ups do
	// not come (200 ms).
	Poll, PollBusDown time.Duration
	BusDown           func() bool
	// Timeout bounds each call of the source (5 s): one that nobody answers must not stop the follower.
	Timeout time.Duration
	// Page bounds the records of one read (500), Parallel the shards that are read at once (4).
	Page, Parallel int
	// Name says in the log's messages who follows what.
	Name string
	// Metrics registers the metrics; nil for none.
	Metrics prometheus.Registerer
}

func (c FollowConfig) withDefaults() FollowConfig {
	if c.Poll == 0 {
		c.Poll = time.Second
	}
	if c.PollBusDown == 0 {
		c.PollBusDown = 200 * time.Millisecond
	}
	if c.BusDown == nil {
		c.BusDown = func() bool { return false }
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Page == 0 {
		c.Page = 500
	}
	if c.Parallel == 0 {
		c.Parallel = 4
	}
	return c
}

// Apply takes in the records of a shard through a position. For one shard it is called in order and one call at a time; after
// an error the same records come again.
type Apply func(ctx context.Context, shard int, records []Record, through int64) error

// Follower reads a log as it grows. Wake-ups make it quick; that it misses nothing is due to asking for the heads.
type Follower struct {
	source Source
	cfg    FollowConfig
	apply  Apply

	mu     sync.Mutex
	shards []follow
	// due are the shards that wait for a reader, in order.
	due []int
	// more is signalled when something is due.
	more chan struct{}

	metrics *followMetrics
}

// follow is how far a shard is. The head is what was claimed: a wake-up may be mistaken.
type follow struct {
	cursor, head int64
	// queued is set while the shard is due or being read.
	queued bool
}

// NewFollower makes a follower; Run starts it.
func NewFollower(source Source, cfg FollowConfig, apply Apply) *Follower {
	metrics := labelled(cfg.Metrics, "follower", cfg.Name)
	f := &Follower{
		source: source, cfg: cfg.withDefaults(), apply: apply, more: make(chan struct{}, 1), metrics: newFollowMetrics(metrics),
	}
	obs.RegisterLatest(metrics, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hongyan_eventlog_follower_lag", Help: "Positions of a followed log that the follower knows of and has not taken in.",
	}, f.lag))
	return f
}

// Follow is NewFollower and Run, for who needs no wake-ups.
func Follow(ctx context.Context, source Source, cfg FollowConfig, apply Apply) error {
	return NewFollower(source, cfg, apply).Run(ctx)
}

// Wake says that a shard has reached a head. It may come late, repeatedly or not at all; a false one costs a read.
func (f *Follower) Wake(shard int, head int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if shard < 0 || shard >= len(f.shards) {
		return // not started: the first look at the heads will tell
	}
	f.grow(shard, head)
}

// Position returns how far a shard has been applied.
func (f *Follower) Position(shard int) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if shard < 0 || shard >= len(f.shards) {
		return 0
	}
	return f.shards[shard].cursor
}

// Run follows until its context ends, which is no error, or until the log's epoch is another (ErrEpochChanged).
func (f *Follower) Run(ctx context.Context) error {
	if err := f.start(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	defer wg.Wait()
	for range f.cfg.Parallel {
		wg.Go(func() {
			if err := f.work(ctx); err != nil {
				cancel(err)
			}
		})
	}
	err := f.watch(ctx)
	cancel(err)
	if cause := context.Cause(ctx); errors.Is(cause, ErrEpochChanged) {
		return cause
	}
	return nil
}

// start asks for the heads until there is an answer, and begins with the shards that lack something.
func (f *Follower) start(ctx context.Context) error {
	for try := 0; ; try++ {
		h, err := f.heads(ctx)
		if err == nil {
			return f.begin(h)
		}
		f.report(ctx, err)
		if !pause(ctx, try) {
			return nil
		}
	}
}

func (f *Follower) begin(h Heads) error {
	from := f.cfg.From
	if len(from.Shard) != 0 && len(from.Shard) != len(h.Shard) {
		return fmt.Errorf("%w: %d shards, not %d", ErrEpochChanged, len(h.Shard), len(from.Shard))
	}
	if f.cfg.From.Epoch == 0 {
		f.cfg.From.Epoch = h.Epoch
	}
	f.mu.Lock()
	f.shards = make([]follow, len(h.Shard))
	for shard, cursor := range from.Shard {
		f.shards[shard] = follow{cursor: cursor, head: cursor}
	}
	f.mu.Unlock()
	if err := covers(h, from.Shard); err != nil {
		return err
	}
	return f.look(h)
}

// positions returns how far all shards have been applied.
func (f *Follower) positions() []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	positions := make([]int64, len(f.shards))
	for shard := range f.shards {
		positions[shard] = f.shards[shard].cursor
	}
	return positions
}

// covers fails if heads, asked for after positions were read, do not reach them: the log has lost its end, and what it
// grows by would be taken for what was read already.
func covers(h Heads, positions []int64) error {
	for shard, p := range positions {
		if shard < len(h.Shard) && p > h.Shard[shard] {
			return fmt.Errorf("%w: shard %d ends at %d, before %d", ErrEpochChanged, shard, h.Shard[shard], p)
		}
	}
	return nil
}

// watch asks for the heads again and again.
func (f *Follower) watch(ctx context.Context) error {
	for f.rest(ctx) {
		read := f.positions()
		h, err := f.heads(ctx)
		if err != nil {
			f.report(ctx, err)
			continue
		}
		if err := covers(h, read); err != nil {
			return err
		}
		if err := f.look(h); err != nil {
			return err
		}
	}
	return nil
}

// rest waits until the heads are to be asked for again, and returns false when ctx ends. The bus is looked at more often
// than that: what is appended just when it goes is not announced.
func (f *Follower) rest(ctx context.Context) bool {
	step := min(f.cfg.Poll, f.cfg.PollBusDown)
	tick := time.NewTicker(step)
	defer tick.Stop()
	for waited := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		if waited += step; waited >= f.cfg.Poll || f.cfg.BusDown() {
			return true
		}
	}
}

// look takes in the heads.
func (f *Follower) look(h Heads) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h.Epoch != f.cfg.From.Epoch || len(h.Shard) != len(f.shards) {
		return ErrEpochChanged
	}
	for shard, head := range h.Shard {
		f.grow(shard, head)
	}
	return nil
}

// grow makes a shard due that has more than was read. It is called with the lock held.
func (f *Follower) grow(shard int, head int64) {
	s := &f.shards[shard]
	s.head = max(s.head, head)
	if s.queued || s.head <= s.cursor {
		return
	}
	s.queued = true
	f.due = append(f.due, shard)
	f.signal()
}

func (f *Follower) signal() {
	select {
	case f.more <- struct{}{}:
	default:
	}
}

// work reads shards that are due, one at a time.
func (f *Follower) work(ctx context.Context) error {
	for {
		shard, ok := f.next(ctx)
		if !ok {
			return nil
		}
		for try := 0; ; try++ {
			err := f.page(ctx, shard)
			if err == nil {
				break
			}
			if errors.Is(err, ErrEpochChanged) {
				return err
			}
			f.report(ctx, err)
			if !pause(ctx, try) {
				return nil
			}
		}
		f.finish(shard)
	}
}

// next waits for a shard that is due.
func (f *Follower) next(ctx context.Context) (shard int, ok bool) {
	for {
		f.mu.Lock()
		if len(f.due) > 0 {
			shard, f.due = f.due[0], f.due[1:]
			if len(f.due) > 0 {
				f.signal()
			}
			f.mu.Unlock()
			return shard, ctx.Err() == nil
		}
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return 0, false
		case <-f.more:
		}
	}
}

// page reads and applies one page of a shard.
func (f *Follower) page(ctx context.Context, shard int) error {
	f.mu.Lock()
	cursor, head := f.shards[shard].cursor, f.shards[shard].head
	f.mu.Unlock()
	records, through, err := f.read(ctx, shard, cursor)
	if err != nil {
		return err
	}
	if through < cursor {
		return fmt.Errorf("%w: shard %d ends at %d", ErrEpochChanged, shard, through)
	}
	if through == cursor {
		f.disbelieve(shard, head)
		return nil
	}
	if err := f.apply(ctx, shard, records, through); err != nil {
		return fmt.Errorf("apply shard %d through %d: %w", shard, through, err)
	}
	f.metrics.records.Add(float64(len(records)))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shards[shard].cursor = through
	return nil
}

// disbelieve forgets a head that was claimed before a read that found nothing: the log is not so long, and reading on
// would find nothing again. A greater one, claimed since, may be true.
func (f *Follower) disbelieve(shard int, head int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := &f.shards[shard]; s.head == head {
		s.head = s.cursor
	}
}

func (f *Follower) heads(ctx context.Context) (Heads, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	return f.source.Heads(ctx)
}

func (f *Follower) read(ctx context.Context, shard int, after int64) ([]Record, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	return f.source.Read(ctx, shard, after, f.cfg.Page)
}

// finish gives a shard back, behind the others when it has more.
func (f *Follower) finish(shard int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.shards[shard]
	s.queued = false
	f.grow(shard, s.head)
}

func (f *Follower) report(ctx context.Context, err error) {
	if ctx.Err() == nil {
		f.metrics.failures.Inc()
		logx.WithContext(ctx).Errorf("follow %s: %v", f.cfg.Name, err)
	}
}
