package media

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// errAtOnce says that a user wants too much at once that has to be made.
var errAtOnce = errors.New("one user wants too much at once")

// turns lets users have things made, each known by a name: a few at a time of each user and of each source, and users take turns. What
// several want is made once.
type turns[N comparable, T any] struct {
	limits

	mu      sync.Mutex
	waiting map[string][]*ask[N, T] // by user, in the order of asking
	users   []string                // those who wait, the next first
	busy    map[string]int          // how much is being made, by user
	from    map[string]int          // how much is being made, by source
	all     int                     // how much is being made
	making  map[N]bool
}

// limits are how much is made at once, how much of it for one user and from one source, and how much of one user may wait.
type limits struct{ most, ofUser, ofSource, waiting int }

// want is what somebody wants made. Things from one source are slow together; "" is none.
type want[N comparable] struct {
	user, source string
	name         N
}

// ask is a request that waits.
type ask[N comparable, T any] struct {
	want[N]
	// answer has one thing when waiting is over: what another request made, or nil where it is this one's turn to make it.
	answer chan *T
}

func newTurns[N comparable, T any](most limits) *turns[N, T] {
	return &turns[N, T]{
		limits: most, waiting: map[string][]*ask[N, T]{}, busy: map[string]int{}, from: map[string]int{}, making: map[N]bool{},
	}
}

// do makes a thing when it is the user's turn, or returns what another request made of it meanwhile. ctx bounds the waiting.
func (d *turns[N, T]) do(ctx context.Context, w want[N], produce func() (T, error)) (thing T, err error) {
	a, err := d.join(w)
	if err != nil {
		return thing, err
	}
	select {
	case made := <-a.answer:
		if made != nil {
			return *made, nil
		}
	case <-ctx.Done():
		if d.leave(a) {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return thing, errAtOnce // those before it took all the time: nothing has failed
			}
			return thing, ctx.Err()
		}
		if made := <-a.answer; made != nil {
			return *made, nil
		}
	}
	var made *T
	defer func() { d.done(a, made) }() // whatever becomes of making it
	if thing, err = produce(); err == nil {
		made = &thing
	}
	return thing, err
}

// join has a request wait, if not too many of the user's do.
func (d *turns[N, T]) join(w want[N]) (*ask[N, T], error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	user := w.user
	if len(d.waiting[user]) >= d.limits.waiting {
		return nil, errAtOnce
	}
	a := &ask[N, T]{want: w, answer: make(chan *T, 1)}
	if len(d.waiting[user]) == 0 {
		d.users = append(d.users, user)
	}
	d.waiting[user] = append(d.waiting[user], a)
	d.begin()
	return a, nil
}

// leave ends waiting; false says that it has ended.
func (d *turns[N, T]) leave(a *ask[N, T]) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.remove(a)
}

// done says what a request made, nil for nothing: then the next makes it that wants it.
func (d *turns[N, T]) done(a *ask[N, T], made *T) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all--
	if d.busy[a.user]--; d.busy[a.user] == 0 {
		delete(d.busy, a.user)
	}
	if d.from[a.source]--; d.from[a.source] == 0 {
		delete(d.from, a.source)
	}
	delete(d.making, a.name)
	if at := slices.Index(d.users, a.user); at >= 0 { // all others come first now
		d.users = append(slices.Delete(d.users, at, at+1), a.user)
	}
	if made != nil {
		var same []*ask[N, T]
		for _, asks := range d.waiting {
			for _, other := range asks {
				if other.name == a.name {
					same = append(same, other)
				}
			}
		}
		for _, other := range same {
			d.remove(other)
			other.answer <- made
		}
	}
	d.begin()
}

// begin has those begin whose turn it is.
func (d *turns[N, T]) begin() {
	for d.all < d.most {
		next := d.next()
		if next == nil {
			return
		}
		d.remove(next)
		d.all++
		d.busy[next.user]++
		d.from[next.source]++
		d.making[next.name] = true
		next.answer <- nil
	}
}

// next is the first request that may begin, of the first user who has one.
func (d *turns[N, T]) next() *ask[N, T] {
	for _, user := range d.users {
		if d.busy[user] >= d.ofUser {
			continue
		}
		for _, a := range d.waiting[user] {
			if !d.making[a.name] && (a.source == "" || d.from[a.source] < d.ofSource) {
				return a
			}
		}
	}
	return nil
}

// remove removes a request from those that wait; false says that it is not among them.
func (d *turns[N, T]) remove(a *ask[N, T]) bool {
	at := slices.Index(d.waiting[a.user], a)
	if at < 0 {
		return false
	}
	d.waiting[a.user] = slices.Delete(d.waiting[a.user], at, at+1)
	if len(d.waiting[a.user]) == 0 {
		delete(d.waiting, a.user)
		user := slices.Index(d.users, a.user)
		d.users = slices.Delete(d.users, user, user+1)
	}
	return true
}
