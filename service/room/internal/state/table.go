package state

import (
	"hash/maphash"
	"iter"
)

// bucketLoad is how many entries a bucket holds on average before the table grows. Changing an entry copies its
// bucket and the list of buckets.
const bucketLoad = 32

// table is an immutable hash table of *E by a string key. Its zero value is empty.
type table[E any] struct {
	buckets []*bucket[E]
	seed    maphash.Seed
	size    int
}

// bucket holds the entries whose keys hash alike; a nil one holds none. It does not change once it is in a table.
type bucket[E any] struct{ entries []*E }

func (b *bucket[E]) all() []*E {
	if b == nil {
		return nil
	}
	return b.entries
}

// keyed is what an entry of a table must be able to tell.
type keyed[E any] interface {
	*E
	key() string
}

func get[E any, P keyed[E]](t table[E], key string) *E {
	if t.size == 0 {
		return nil
	}
	for _, e := range t.buckets[t.bucket(key)].all() {
		if P(e).key() == key {
			return e
		}
	}
	return nil
}

// with returns a table that holds e in place of any entry of the same key, which it returns too.
func with[E any, P keyed[E]](t table[E], e *E) (table[E], *E) {
	if len(t.buckets) == 0 {
		t = table[E]{buckets: make([]*bucket[E], 1), seed: maphash.MakeSeed()}
	}
	key := P(e).key()
	b := t.bucket(key)
	old := t.buckets[b].all()
	for i, o := range old {
		if P(o).key() == key {
			entries := make([]*E, len(old))
			copy(entries, old)
			entries[i] = e
			return t.replace(b, entries, t.size), o
		}
	}
	if t.size >= bucketLoad*len(t.buckets) {
		t = grow[E, P](t)
		b = t.bucket(key)
		old = t.buckets[b].all()
	}
	entries := make([]*E, len(old), len(old)+1)
	copy(entries, old)
	return t.replace(b, append(entries, e), t.size+1), nil
}

func (t table[E]) bucket(key string) int {
	return int(maphash.String(t.seed, key) & uint64(len(t.buckets)-1))
}

func (t table[E]) replace(b int, entries []*E, size int) table[E] {
	buckets := make([]*bucket[E], len(t.buckets))
	copy(buckets, t.buckets)
	buckets[b] = &bucket[E]{entries}
	return table[E]{buckets: buckets, seed: t.seed, size: size}
}

// grow returns the same table with twice the buckets.
func grow[E any, P keyed[E]](t table[E]) table[E] {
	g := table[E]{buckets: make([]*bucket[E], 2*len(t.buckets)), seed: t.seed, size: t.size}
	for e := range t.all() {
		put[E, P](g, e)
	}
	return g
}

// build makes a table of entries whose keys differ, without the intermediate copies.
func build[E any, P keyed[E]](entries []*E) table[E] {
	n := 1
	for n*bucketLoad < len(entries) {
		n *= 2
	}
	t := table[E]{buckets: make([]*bucket[E], n), seed: maphash.MakeSeed(), size: len(entries)}
	for _, e := range entries {
		put[E, P](t, e)
	}
	return t
}

// put adds an entry to a table that nobody else has yet.
func put[E any, P keyed[E]](t table[E], e *E) {
	b := t.bucket(P(e).key())
	if t.buckets[b] == nil {
		t.buckets[b] = &bucket[E]{make([]*E, 0, bucketLoad)}
	}
	t.buckets[b].entries = append(t.buckets[b].entries, e)
}

func (t table[E]) all() iter.Seq[*E] {
	return func(yield func(*E) bool) {
		for _, b := range t.buckets {
			for _, e := range b.all() {
				if !yield(e) {
					return
				}
			}
		}
	}
}
