package live

import (
	"sync"

	"hongyan/matrix/event"
)

// Facts are what readers of a room asked the owner of the room for, kept current by the log. A room forgets them when it
// leaves memory. Facts may be ahead of a reader's cut: compare positions.
type Facts struct {
	mu sync.Mutex
	// newestState is the sequence number of the newest state event applied: what was read from the room's owner as of
	// an earlier one is outdated.
	newestState int64
	// newestRedaction is that of the newest redaction applied: what was read as of an earlier one may not be pruned.
	newestRedaction int64
	state           map[StateKey]*Event
	counts          Counts
	countsKnown     bool
}

// StateKey names a piece of state.
type StateKey struct{ Type, Key string }

// Counts are the numbers of members of a room.
type Counts struct {
	// Seq is the sequence number in the room as of which they are.
	Seq             int64
	Joined, Invited int64
	// Named tells that the room has a name or a canonical alias.
	Named bool
}

// maxFacts bounds the pieces of state kept of one room.
const maxFacts = 2048

// State returns a piece of state: known tells whether it is known, and the event is nil where the room has none.
func (f *Facts) State(key StateKey) (e *Event, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, known = f.state[key]
	return e, known
}

// PutState keeps pieces of state that were asked for, as of a sequence number: nil for those that the room does not
// have.
func (f *Facts) PutState(seq int64, state map[StateKey]*Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if seq < f.newestState || seq < f.newestRedaction {
		return
	}
	if f.state == nil || len(f.state)+len(state) > maxFacts {
		f.state = make(map[StateKey]*Event, len(state))
	}
	for k, e := range state {
		f.state[k] = e
	}
}

// Counts returns the numbers of members if they are known.
func (f *Facts) Counts() (Counts, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts, f.countsKnown
}

// PutCounts keeps the numbers of members.
func (f *Facts) PutCounts(c Counts) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.Seq >= f.newestState {
		f.counts, f.countsKnown = c, true
	}
}

// apply brings the facts up to an event of the log.
func (f *Facts) apply(e *Event) {
	if !e.IsState {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.newestState = e.Seq
	key := StateKey{e.Type, e.StateKey}
	if old, ok := f.state[key]; ok && (old == nil || old.Seq < e.Seq) {
		f.state[key] = e
	}
	switch {
	case e.Seq <= f.counts.Seq:
	case e.IsMember():
		f.counts.Seq = e.Seq
		f.counts.Joined += delta(e, event.Join)
		f.counts.Invited += delta(e, event.Invite)
	case e.StateKey == "" && (e.Type == event.TypeName || e.Type == event.TypeCanonicalAlias):
		f.countsKnown = false
	}
}

// redact prunes what a redaction names.
func (f *Facts) redact(because *Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.newestRedaction = max(f.newestRedaction, because.Seq)
	for key, e := range f.state {
		if e == nil {
			continue
		}
		pruned, err := e.after(because)
		if err != nil {
			delete(f.state, key) // unknown is better than what must not be shown
			return err
		}
		f.state[key] = pruned
	}
	return nil
}

// delta is by how much an event changes the number of members of a kind.
func delta(e *Event, kind event.Membership) int64 {
	switch {
	case e.Membership == kind && e.Before != kind:
		return 1
	case e.Membership != kind && e.Before == kind:
		return -1
	}
	return 0
}
