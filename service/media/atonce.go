package media

import (
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
