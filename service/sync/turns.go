package sync

import (
	"context"
	"sync"
)

// turnsOfUser is how many turns one user may have at once, so that no account keeps all others waiting.
const turnsOfUser = 2

// manyRooms is from how many rooms that are read from further back an answer counts as large.
const manyRooms = 64

// turns bounds how many large answers are in memory at once. An answer is large that may hold all that is stored for a
// user: an initial one, one with full state, one from long ago. It takes a turn before it reads, and gives it back when
// it is written.
type turns struct {
	all chan struct{}

	mu sync.Mutex
	of map[string]*share
}

// share is the turns of one user, kept while somebody has or wants one.
type share struct {
	slots chan struct{}
	users int
}

func newTurns(most int) *turns {
	return &turns{all: make(chan struct{}, most), of: map[string]*share{}}
}

// take waits for a turn of a user, which release gives back; it may be called more than once. It fails when the context
// ends.
func (t *turns) take(ctx context.Context, user string) (release func(), err error) {
	mine := t.enter(user)
	select {
	case mine.slots <- struct{}{}:
	case <-ctx.Done():
		t.leave(user, mine)
		return nil, ctx.Err()
	}
	select {
	case t.all <- struct{}{}:
	case <-ctx.Done():
		<-mine.slots
		t.leave(user, mine)
		return nil, ctx.Err()
	}
	return sync.OnceFunc(func() {
		<-t.all
		<-mine.slots
		t.leave(user, mine)
	}), nil
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

// takeTurn waits until the request may hold a large answer. leave gives the turn back.
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
		p.turn()
		p.turn = nil
	}
}
