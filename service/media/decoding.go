package media

import (
	"context"
	"errors"
	"slices"
	"sync"

	"hongyan/service/media/internal/store"
)

// errAtOnce says that a user wants too many thumbnails at once.
var errAtOnce = errors.New("too many thumbnails of one user at once")

// decoding lets users have pictures decoded: one at a time of each user, and users take turns. What several want is made once.
type decoding struct {
	most, mostWaiting int

	mu      sync.Mutex
	waiting map[string][]*ask // by user, in the order of asking
	turns   []string          // the users who wait, the next first
	busy    map[string]bool   // the users of what is being made
	making  map[store.Thumbnail]bool
}

// ask is a request that waits.
type ask struct {
	user string
	name store.Thumbnail
	// answer has one thing when waiting is over: what another request made, or nil where it is this one's turn to make it.
	answer chan *file
}

func newDecoding(most, mostWaiting int) *decoding {
	return &decoding{
		most: most, mostWaiting: mostWaiting,
		waiting: map[string][]*ask{}, busy: map[string]bool{}, making: map[store.Thumbnail]bool{},
	}
}

// do makes a thumbnail when it is the user's turn, or returns what another request made of it meanwhile.
func (d *decoding) do(ctx context.Context, user string, name store.Thumbnail, produce func() (file, error)) (f file, err error) {
	a, err := d.join(user, name)
	if err != nil {
		return file{}, err
	}
	select {
	case made := <-a.answer:
		if made != nil {
			return *made, nil
		}
	case <-ctx.Done():
		if d.leave(a) {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return file{}, errAtOnce // those before it took all the time: nothing has failed
			}
			return file{}, ctx.Err()
		}
		if made := <-a.answer; made != nil {
			return *made, nil
		}
	}
	var made *file
	defer func() { d.done(a, made) }() // whatever becomes of making it
	if f, err = produce(); err == nil {
		made = &f
	}
	return f, err
}

// join has a request wait, if not too many of the user's do.
func (d *decoding) join(user string, name store.Thumbnail) (*ask, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting[user]) >= d.mostWaiting {
		return nil, errAtOnce
	}
	a := &ask{user: user, name: name, answer: make(chan *file, 1)}
	if len(d.waiting[user]) == 0 {
		d.turns = append(d.turns, user)
	}
	d.waiting[user] = append(d.waiting[user], a)
	d.begin()
	return a, nil
}

// leave ends waiting; false says that it has ended.
func (d *decoding) leave(a *ask) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.remove(a)
}

// done says what a request made, nil for nothing: then the next makes it that wants it.
func (d *decoding) done(a *ask, made *file) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.busy, a.user)
	delete(d.making, a.name)
	if at := slices.Index(d.turns, a.user); at >= 0 { // all others come first now
		d.turns = append(slices.Delete(d.turns, at, at+1), a.user)
	}
	if made != nil {
		var same []*ask
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
func (d *decoding) begin() {
	for len(d.busy) < d.most {
		next := d.next()
		if next == nil {
			return
		}
		d.remove(next)
		d.busy[next.user], d.making[next.name] = true, true
		next.answer <- nil
	}
}

// next is the first request that may begin, of the first user who has one.
func (d *decoding) next() *ask {
	for _, user := range d.turns {
		if d.busy[user] {
			continue
		}
		for _, a := range d.waiting[user] {
			if !d.making[a.name] {
				return a
			}
		}
	}
	return nil
}

// remove removes a request from those that wait; false says that it is not among them.
func (d *decoding) remove(a *ask) bool {
	at := slices.Index(d.waiting[a.user], a)
	if at < 0 {
		return false
	}
	d.waiting[a.user] = slices.Delete(d.waiting[a.user], at, at+1)
	if len(d.waiting[a.user]) == 0 {
		delete(d.waiting, a.user)
		user := slices.Index(d.turns, a.user)
		d.turns = slices.Delete(d.turns, user, user+1)
	}
	return true
}
