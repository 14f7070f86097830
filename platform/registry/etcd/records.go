package etcd

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"

	"hongyan/platform/registry"
)

// records are the records of this process: as they should be, and what is known of how they are.
type records struct {
	// due holds an element when there may be something to write.
	due chan struct{}

	mu      sync.Mutex
	all     map[string]*record // by Instance.Key
	version uint64
	settled chan struct{} // closed and replaced when a record is as it should be
}

// record is one of them.
type record struct {
	change
	// stored tells that etcd has it, since this revision and with this lease.
	stored   bool
	revision int64
	lease    clientv3.LeaseID
}

// change is what is to be written.
type change struct {
	key     string
	version uint64 // of want
	value   []byte // nil deletes
}

func newRecords() *records {
	return &records{due: make(chan struct{}, 1), all: map[string]*record{}, settled: make(chan struct{})}
}

// want says how a record should be (nil: not there).
func (r *records) want(key string, value []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if value == nil && r.all[key] == nil {
		return
	}
	r.version++
	r.all[key] = &record{change: change{key, r.version, value}}
	r.wake()
}

func (r *records) wake() {
	select {
	case r.due <- struct{}{}:
	default:
	}
}

// wait waits until a record is as it was wanted last.
func (r *records) wait(ctx context.Context, closing <-chan struct{}, key string) error {
	for {
		r.mu.Lock()
		settled := r.settled
		rec := r.all[key]
		done := rec == nil || rec.stored
		r.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return ctx.Err()
		case <-closing:
			return registry.ErrClosed
		}
	}
}

// changes returns what is to be written, in the order in which it was wanted.
func (r *records) changes() []change {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []change
	for _, rec := range r.all {
		if !rec.stored {
			list = append(list, rec.change)
		}
	}
	slices.SortFunc(list, func(a, b change) int { return cmp.Compare(a.version, b.version) })
	return list
}

// written takes note of a change that was written.
func (r *records) written(c change, revision int64, lease clientv3.LeaseID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.all[c.key]
	if rec == nil || rec.version != c.version {
		return // it is wanted otherwise by now
	}
	if c.value == nil {
		delete(r.all, c.key)
	} else {
		rec.stored, rec.revision, rec.lease = true, revision, lease
	}
	close(r.settled)
	r.settled = make(chan struct{})
}

// lost says that etcd has none of them any more.
func (r *records) lost() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range r.all {
		rec.stored = false
	}
	r.wake()
}

// compare looks for records that were changed behind our back, in what etcd had at a revision.
func (r *records) compare(revision int64, entries map[string]entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, rec := range r.all {
		if !rec.stored || rec.revision > revision {
			continue
		}
		if e, ok := entries[key]; !ok || e.lease != rec.lease || !bytes.Equal(e.value, rec.value) {
			rec.stored = false
			r.wake()
		}
	}
}
