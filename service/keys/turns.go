package keys

import (
	"context"
	"fmt"

	"hongyan/platform/eventlog"
)

// turns lets those who read and then write keys of one user go one after the other, so that they seldom meet in the database.
// It is for speed alone: another instance may do the same.
type turns []chan struct{}

// turnSlots is how many users may be changed at once; two that share a slot wait for each other.
const turnSlots = 256

func newTurns() turns {
	t := make(turns, turnSlots)
	for i := range t {
		t[i] = make(chan struct{}, 1)
	}
	return t
}

// enter waits until nobody else here changes keys of the user.
func (t turns) enter(ctx context.Context, userID string) (leave func(), err error) {
	slot := t[eventlog.ShardOf(userID, len(t))]
	select {
	case slot <- struct{}{}:
		return func() { <-slot }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for another change of the user's keys: %w", ctx.Err())
	}
}
