package room

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/bus"
)

// Two instances that both believe to own a room swap against each other, and the one that has won has an advantage: it
// knows the newest state, while the other one must read it first, and by then it is old again. So they take turns: who
// has won lets the other one go first, and gathers operations for its next batch meanwhile. Who loses twice in a row
// says so on the bus, since the winner cannot see it. A lost message costs time: the loser goes on trying.

const (
	// rivalSubject carries the ids of rooms whose swaps somebody has lost.
	rivalSubject = "room.rival"
	// maxBackoff bounds the wait before a batch that lost its swap runs again.
	maxBackoff = 2 * time.Millisecond
	// maxTurn bounds how long who has won waits for the other one.
	maxTurn = 50 * time.Millisecond
	// fewTurns is for how many batches a rival is reckoned with that was met once, manyTurns one that is still there.
	fewTurns, manyTurns = 2, 16
)

// rivalry is what a room's instance knows of another one that writes to the same room.
type rivalry struct {
	// turns is for how many batches more the rival is reckoned with.
	turns atomic.Int32
	// until is when the next batch may begin. It belongs to whoever runs the room's queue.
	until time.Time
}

// active tells whether there is a rival.
func (v *rivalry) active() bool { return v.turns.Load() > 0 }

// meet notes that another instance has written to the room.
func (v *rivalry) meet() {
	if !v.turns.CompareAndSwap(0, fewTurns) {
		v.turns.Store(manyTurns)
	}
}

// miss notes that no other instance has written since the last batch.
func (v *rivalry) miss() {
	if n := v.turns.Load(); n > 0 {
		v.turns.CompareAndSwap(n, n-1)
	}
}

// hear notes that another instance has lost to this one, or this one to another.
func (v *rivalry) hear() { v.turns.Store(manyTurns) }

// won begins the rival's turn. It ends when the rival should have begun to write, if it takes no longer to pause, read
// and build than twice what this instance took to read and build.
func (v *rivalry) won(took time.Duration) {
	if v.active() {
		v.until = time.Now().Add(min(maxBackoff+2*took, maxTurn))
	}
}

// wait ends with the rival's turn, if there is one.
func (v *rivalry) wait(ctx context.Context) {
	if v.until.IsZero() {
		return
	}
	if left := time.Until(v.until); left > 0 {
		pauseFor(ctx, left)
	}
	v.until = time.Time{}
}

// hearRivals takes what others say on the bus. Only rooms in memory can have won anything.
func (s *Service) hearRivals(ctx context.Context) {
	sub, err := s.deps.Bus.Subscribe(rivalSubject, func(m bus.Message) {
		if r := s.rooms.peek(string(m.Data)); r != nil {
			r.rival.hear()
		}
	})
	if err != nil {
		logx.WithContext(ctx).Errorf("room: not told who loses to this instance: %v", err)
		return
	}
	defer sub.Unsubscribe()
	<-ctx.Done()
}

// tellRival asks whoever else writes to the room for a turn.
func (s *Service) tellRival(ctx context.Context, r *live) {
	r.rival.hear()
	if err := s.deps.Bus.Publish(ctx, rivalSubject, []byte(r.id)); err != nil {
		logx.WithContext(ctx).Debugf("ask for a turn at room %s: %v", r.id, err)
	}
}

// pause waits a random moment that grows with the attempts. It reports false when the context has ended.
func pause(ctx context.Context, attempt int) bool {
	pauseFor(ctx, rand.N(min(maxBackoff, time.Millisecond<<min(attempt, 10)))+1)
	return ctx.Err() == nil
}
