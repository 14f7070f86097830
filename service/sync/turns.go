package sync

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"hongyan/matrix"
)

// turnsOfUser is how many turns one user may have at once, so that no account keeps all others waiting.
const turnsOfUser = 2

// manyRooms is from how many rooms that are read from further back an answer counts as large.
const manyRooms = 64

// unwrittenBytes is how many bytes of large answers may wait for their clients to read them, besides those that keep
// their turn until then.
const unwrittenBytes = 256 << 20

// turnTimeout bounds how long a request waits for its turn.
const turnTimeout = 20 * time.Second

// turns bounds how many large answers are put together at once, and how much of what is finished waits to be read. An
// answer is large that may hold all that is stored for a user: an initial one, one with full state, one from long ago. It
// takes a turn before it reads. When it is put together the next one may begin, so that slow clients do not keep all
// others waiting; only where too much is unwritten already it keeps its place until it is written. Of its user's turns it
// is one until then in any case.
type turns struct {
	all chan struct{}
	// waiting is how many requests wait for a turn.
	waiting atomic.Int64

	mu sync.Mutex
	of map[string]*share
	// unwritten is how many bytes have given their places to others and are not written yet; at most mostUnwritten.
	unwritten, mostUnwritten int64
}

// turn is one answer's. It belongs to one goroutine at a time.
type turn struct {
	t    *turns
	user string
	mine *share
	// placed tells that it has one of the places of all, unwritten is what it counts for instead.
	placed    bool
	unwritten int64
	released  bool
}

// share is the turns of one user, kept while somebody has or wants one.
type share struct {
	slots chan struct{}
	users int
}

func newTurns(most int, mostUnwritten int64) *turns {
	return &turns{all: make(chan struct{}, most), of: map[string]*share{}, mostUnwritten: mostUnwritten}
}

// take waits for a turn of a user, which release gives back. It fails when the context ends, and with
// matrix.Unavailable when none is free for turnTimeout.
func (t *turns) take(ctx context.Context, user string) (*turn, error) {
	waiting, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	mine := t.enter(user)
	select {
	case mine.slots <- struct{}{}:
	case <-waiting.Done():
		t.leave(user, mine)
		return nil, noTurn(ctx, waiting)
	}
	select {
	case t.all <- struct{}{}:
	case <-waiting.Done():
		<-mine.slots
		t.leave(user, mine)
		return nil, noTurn(ctx, waiting)
	}
	return &turn{t: t, user: user, mine: mine, placed: true}, nil
}

// noTurn says why a request got no turn: because it ended itself, or because it waited for too long.
func noTurn(ctx, waiting context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return matrix.Unavailable(fmt.Errorf("wait for the turn of a large answer: %w", waiting.Err()))
}

// assembled says that the answer is put together and takes so many bytes. Its place is the next one's if these may wait
// to be written.
func (u *turn) assembled(bytes int64) {
	if !u.placed || !u.t.reserve(bytes) {
		return
	}
	u.placed, u.unwritten = false, bytes
	<-u.t.all
}

// release gives the turn back; it may be called more than once.
func (u *turn) release() {
	if u.released {
		return
	}
	u.released = true
	if u.placed {
		u.placed = false
		<-u.t.all
	}
	u.t.free(u.unwritten)
	<-u.mine.slots
	u.t.leave(u.user, u.mine)
}

// reserve counts bytes as unwritten, unless that were too many.
func (t *turns) reserve(bytes int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if bytes > t.mostUnwritten-t.unwritten {
		return false
	}
	t.unwritten += bytes
	return true
}

// unwrittenBytes is how many bytes are not written yet.
func (t *turns) unwrittenBytes() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unwritten
}

func (t *turns) free(bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unwritten -= bytes
}

func (t *turns) enter(user string) *share {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.of[user]
	if s == nil {
		s = &share{slots: make(chan struct{}, turnsOfUser)}
		t.of[user] = s
	}
	s.users++
	return s
}

func (t *turns) leave(user string, s *share) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(t.of, user)
	}
}

// takeTurn waits until the request may put a large answer together. leave gives the turn back.
func (s *Service) takeTurn(ctx context.Context, p *waiting) error {
	if p.turn != nil {
		return nil
	}
	var err error
	p.turn, err = s.turns.take(ctx, p.r.user)
	return err
}

// endTurn gives a turn back, if the request has one.
func (p *waiting) endTurn() {
	if p.turn != nil {
		p.turn.release()
		p.turn = nil
	}
}
