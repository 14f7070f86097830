package media

import (
	"context"
	"errors"
	"sync"
	"time"

	"hongyan/matrix"
)

// uploads counts those that are under way.
type uploads struct {
	most, mostOfUser int

	mu  sync.Mutex
	all int
	of  map[string]int
}

// take lets a user begin an upload, which ends with release.
func (u *uploads) take(userID string) (release func(), err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of[userID] >= u.mostOfUser {
		e := matrix.NewError(matrix.CodeLimitExceeded, "Too many uploads at once. Wait until some have ended.")
		e.RetryAfter = time.Second
		return nil, e
	}
	if u.all >= u.most {
		return nil, matrix.Unavailable(errors.New("too many uploads at once"))
	}
	u.all++
	u.of[userID]++
	return func() { u.give(userID) }, nil
}

func (u *uploads) give(userID string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all--
	if u.of[userID]--; u.of[userID] == 0 {
		delete(u.of, userID)
	}
}

// turns lets what is about the same come one after the other.
type turns struct {
	mu sync.Mutex
	of map[string]*turn
}

type turn struct {
	free  chan struct{} // holds one while nobody has it
	users int
}

// take waits for the turn of a name, which ends with give.
func (t *turns) take(ctx context.Context, name string) (give func(), err error) {
	t.mu.Lock()
	mine := t.of[name]
	if mine == nil {
		mine = &turn{free: make(chan struct{}, 1)}
		mine.free <- struct{}{}
		t.of[name] = mine
	}
	mine.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.users--; mine.users == 0 {
			delete(t.of, name)
		}
	}
	select {
	case <-mine.free:
		return func() {
			mine.free <- struct{}{}
			leave()
		}, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
