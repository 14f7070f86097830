package bench

import (
	"fmt"
	"hash/maphash"
	"maps"
	"sync"
)

// Ledger knows what was accepted and what each user saw, and says what does not add up. It is safe for concurrent use.
type Ledger struct {
	seed maphash.Seed

	mu    sync.Mutex
	rooms map[string]*roomLedger
}

type roomLedger struct {
	mu        sync.Mutex
	accepted  map[uint64]string
	observers map[string]*observer
	// missing are the deliveries that are still to come.
	missing int
}

// observer is what one user saw of one room, in the order in which it was seen.
type observer struct {
	order []uint64
	seen  map[uint64]struct{}
	twice int
}

// Verdict counts what went wrong.
type Verdict struct {
	// Accepted are the events that the server acknowledged; Expected the deliveries that follow from them.
	Accepted int `json:"accepted"`
	Expected int `json:"expected"`
	// Lost are deliveries that never came, Duplicated those that came again, Reordered those that came in another order
	// than another user of the room saw.
	Lost       int `json:"lost"`
	Duplicated int `json:"duplicated"`
	Reordered  int `json:"reordered"`
	// Examples describe some of them.
	Examples []string `json:"examples,omitempty"`
}

// OK says that nothing went wrong.
func (v Verdict) OK() bool { return v.Lost == 0 && v.Duplicated == 0 && v.Reordered == 0 }

// NewLedger returns an empty ledger.
func NewLedger() *Ledger {
	return &Ledger{seed: maphash.MakeSeed(), rooms: map[string]*roomLedger{}}
}

func (l *Ledger) room(roomID string) *roomLedger {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.rooms[roomID]
	if r == nil {
		r = &roomLedger{accepted: map[uint64]string{}, observers: map[string]*observer{}}
		l.rooms[roomID] = r
	}
	return r
}

// Observe says that the user is to see every accepted event of the room from now on.
func (l *Ledger) Observe(roomID, userID string) {
	r := l.room(roomID)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.observers[userID] == nil {
		r.observers[userID] = &observer{seen: map[uint64]struct{}{}}
		r.missing += len(r.accepted)
	}
}

// Accept says that the server acknowledged an event.
func (l *Ledger) Accept(roomID, eventID string) {
	r := l.room(roomID)
	r.mu.Lock()
	defer r.mu.Unlock()
	id := maphash.String(l.seed, eventID)
	if _, ok := r.accepted[id]; ok {
		return
	}
	r.accepted[id] = eventID
	for _, o := range r.observers {
		if _, ok := o.seen[id]; !ok {
			r.missing++
		}
	}
}

// See says that a user saw an event, after all that it saw of the room before. It reports whether it is new to the user.
func (l *Ledger) See(roomID, userID, eventID string) bool {
	id := maphash.String(l.seed, eventID)
	r := l.room(roomID)
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.observers[userID]
	if o == nil {
		return false
	}
	if _, ok := o.seen[id]; ok {
		o.twice++
		return false
	}
	o.seen[id] = struct{}{}
	o.order = append(o.order, id)
	if _, ok := r.accepted[id]; ok {
		r.missing--
	}
	return true
}

// Saw reports whether a user saw an event already, without counting it.
func (l *Ledger) Saw(roomID, userID, eventID string) bool {
	r := l.room(roomID)
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.observers[userID]
	if o == nil {
		return false
	}
	_, ok := o.seen[maphash.String(l.seed, eventID)]
	return ok
}

// Missing counts the deliveries that are still to come.
func (l *Ledger) Missing() int {
	n := 0
	for _, r := range l.all() {
		r.mu.Lock()
		n += r.missing
		r.mu.Unlock()
	}
	return n
}

// all returns the rooms as they are now, by id.
func (l *Ledger) all() map[string]*roomLedger {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.rooms)
}

const maxExamples = 10

// Verdict compares everything.
func (l *Ledger) Verdict() Verdict {
	var v Verdict
	for id, r := range l.all() {
		r.judge(id, &v)
	}
	return v
}

func (v *Verdict) example(format string, args ...any) {
	if len(v.Examples) < maxExamples {
		v.Examples = append(v.Examples, fmt.Sprintf(format, args...))
	}
}

func (r *roomLedger) judge(roomID string, v *Verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v.Accepted += len(r.accepted)
	v.Expected += len(r.accepted) * len(r.observers)
	var first string
	var place map[uint64]int
	for userID, o := range r.observers {
		for id, eventID := range r.accepted {
			if _, ok := o.seen[id]; !ok {
				v.Lost++
				v.example("%s never saw %s in %s", userID, eventID, roomID)
			}
		}
		if o.twice > 0 {
			v.Duplicated += o.twice
			v.example("%s saw %d events of %s more than once", userID, o.twice, roomID)
		}
		if place == nil {
			first, place = userID, make(map[uint64]int, len(o.order))
			for i, id := range o.order {
				place[id] = i
			}
			continue
		}
		if n := reordered(o.order, place); n > 0 {
			v.Reordered += n
			v.example("%s and %s saw %d events of %s in different orders", first, userID, n, roomID)
		}
	}
}

// reordered counts the events that stand before one that place has earlier.
func reordered(order []uint64, place map[uint64]int) int {
	last, n := -1, 0
	for _, id := range order {
		p, ok := place[id]
		if !ok {
			continue
		}
		if p < last {
			n++
		} else {
			last = p
		}
	}
	return n
}
