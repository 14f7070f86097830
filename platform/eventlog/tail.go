package eventlog

import (
	"slices"
	"sort"
	"sync"
)

// recordOverhead is about what a record weighs beside its strings and bytes.
const recordOverhead = 176

// orderSlack is how many places of records that are gone are not worth to look for.
const orderSlack = 64

// tail keeps the newest records that this process wrote, so that followers who keep up need no database.
//
// For each shard it holds a stretch of positions without a gap, of which it knows every record. A shard's commits come
// in order, since they are one committer's; where another process wrote in between, the stretch begins anew.
type tail struct {
	limit int

	mu     sync.RWMutex
	shards []shardTail
	bytes  int
	// order is the shard of each record, oldest first, with places of records that are not there any more.
	order []int32
	// count is how many records there are.
	count int
}

// shardTail is one shard's stretch: all records after start, through the position through. They are unset
// until the first commit.
type shardTail struct {
	set            bool
	start, through int64
	records        []Record
}

// stretch is what one commit wrote to a shard: the positions first to last.
type stretch struct {
	first, last int64
	records     []Record
}

func newTail(shards, limit int) *tail {
	return &tail{limit: limit, shards: make([]shardTail, shards)}
}

// add takes in what a commit wrote to a shard.
func (t *tail) add(shard int, s stretch) {
	if t.limit < 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	st := &t.shards[shard]
	switch {
	case st.set && s.first <= st.through:
		return // known already
	case st.set && s.first == st.through+1:
	default:
		t.drop(shard, len(st.records))
		st.set, st.start = true, s.first-1
	}
	st.records, st.through = append(st.records, s.records...), s.last
	for i := range s.records {
		t.bytes += s.records[i].size()
		t.count++
		t.order = append(t.order, int32(shard))
	}
	t.evict()
	t.tidy()
}

// evict forgets the oldest records of all shards until the rest fits.
func (t *tail) evict() {
	n := 0
	for ; t.bytes > t.limit && n < len(t.order); n++ {
		if shard := int(t.order[n]); len(t.shards[shard].records) > 0 {
			t.drop(shard, 1)
		}
	}
	t.order = t.order[n:]
}

// tidy takes places out of the order that stand for no record, once they are more than the others. Of a shard's places the oldest go.
func (t *tail) tidy() {
	if len(t.order) <= 2*t.count+orderSlack {
		return
	}
	left := make([]int, len(t.shards))
	for shard := range t.shards {
		left[shard] = len(t.shards[shard].records)
	}
	order := make([]int32, t.count)
	at := t.count
	for _, shard := range slices.Backward(t.order) {
		if left[shard] > 0 {
			left[shard]--
			at--
			order[at] = shard
		}
	}
	t.order = order[at:]
}

// drop forgets a shard's oldest records. Their place in the order stays behind, and then stands for a younger one.
func (t *tail) drop(shard, n int) {
	st := &t.shards[shard]
	for _, r := range st.records[:n] {
		t.bytes -= r.size()
		t.count--
		st.start = r.Position
	}
	st.records = st.records[n:]
	if len(st.records) == 0 {
		st.records = nil
	}
}

// read serves Log.Read when the stretch goes back as far as after. The records are shared and must not be changed.
func (t *tail) read(shard int, after int64, limit int) ([]Record, int64, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	st := &t.shards[shard]
	if !st.set || after < st.start || after >= st.through {
		return nil, 0, false
	}
	from := sort.Search(len(st.records), func(i int) bool { return st.records[i].Position > after })
	records := st.records[from:]
	if len(records) <= limit {
		return slices.Clip(records), st.through, true
	}
	return slices.Clip(records[:limit]), records[limit-1].Position, true
}

func (r *Record) size() int {
	return len(r.Body) + len(r.Doc) + len(r.Ref) + len(r.Key) + recordOverhead
}

// publish makes a batch's records known: to the tail, and to who is to wake the followers.
func (l *Log) publish(batch []*pending) {
	written := make(map[int][]*pending)
	for _, p := range batch {
		if p.err == nil && p.result.Positions != nil {
			written[p.Stream.Shard] = append(written[p.Stream.Shard], p)
		}
	}
	for shard, ps := range written {
		// A shard's appends of one batch have adjacent positions, unless they had to be written one by one.
		slices.SortFunc(ps, func(a, b *pending) int { return int(a.result.Positions[0] - b.result.Positions[0]) })
		var s stretch
		for _, p := range ps {
			first, last := p.result.Positions[0], p.result.Positions[p.npos-1]
			if first != s.last+1 && s.last > 0 {
				l.tail.add(shard, s)
				s = stretch{}
			}
			if s.first == 0 {
				s.first = first
			}
			s.last, s.records = last, p.records(s.records)
		}
		l.tail.add(shard, s)
		l.cfg.OnCommit(shard, s.last)
	}
}

// records appends the append's entries as they will be read. Of those with the same key only the last is, or that of the
// greatest rank; those that were outranked are not.
func (p *pending) records(to []Record) []Record {
	p.sequences(p.result.Seq, func(i int, e *Entry, seq int64) {
		if has(p.outranked, i) {
			return
		}
		if e.Key != "" {
			for _, later := range p.Entries[i+1:] {
				if later.Key == e.Key && later.Rank >= e.Rank {
					return
				}
			}
		}
		r := Record{
			Shard: p.Stream.Shard, Position: p.result.Positions[i], Stream: p.Stream.ID, Name: p.Stream.Name,
			Seq: seq, Kind: e.Kind, Key: e.Key, Body: e.Body,
		}
		if e.Key == "" {
			r.Ref, r.Doc = e.Ref, e.Doc
		}
		to = append(to, r)
	})
	return to
}
