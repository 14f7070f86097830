package eventlog_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
)

// workload is many appenders that get into each other's way, and a journal of what each of them was answered.
type workload struct {
	rooms, senders int
	seed           uint64
	// deadline bounds each append.
	deadline time.Duration
	journal  *journal
}

// run appends until the context ends. Every instance is a log of its own on the same database.
func (w *workload) run(ctx context.Context, instances ...*eventlog.Log) {
	var wg sync.WaitGroup
	for i := range w.senders {
		l := instances[i%len(instances)]
		wg.Go(func() {
			s := &sender{
				workload: w, log: l, name: fmt.Sprintf("s%d.%d", w.seed, i), rand: rand.New(rand.NewPCG(w.seed, uint64(i))),
				known: make(map[string]eventlog.Stream),
			}
			for ctx.Err() == nil {
				s.step(ctx)
			}
		})
	}
	wg.Wait()
}

// sender is one appender with its own idea of the rooms.
type sender struct {
	*workload
	log   *eventlog.Log
	name  string
	rand  *rand.Rand
	known map[string]eventlog.Stream
	n     int
	// last is the newest append that had a transaction id, to be repeated.
	last *eventlog.Append
}

func (s *sender) step(parent context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(parent), s.deadline)
	defer cancel()
	room := fmt.Sprintf("!%d:x", s.rand.IntN(s.rooms))
	st, ok := s.known[room]
	if !ok {
		var err error
		if st, err = s.log.Stream(ctx, room); err != nil {
			return
		}
		s.known[room] = st
	}
	if s.last != nil && s.rand.IntN(5) == 0 {
		s.repeat(ctx)
		return
	}
	a := s.compose(st)
	s.journal.try(a)
	r, err := s.append(ctx, a)
	s.journal.answer(a, r, err)
	if err != nil {
		delete(s.known, room)
		return
	}
	st.Seq = r.Seq
	s.known[room] = st
	if len(a.Txns) > 0 {
		s.last = &a
	}
}

// append sometimes gives up early, like a client that goes away.
func (s *sender) append(ctx context.Context, a eventlog.Append) (eventlog.Result, error) {
	if s.rand.IntN(20) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(s.rand.IntN(int(3*time.Millisecond))))
		defer cancel()
	}
	return s.log.Append(ctx, a)
}

// compose makes an append of one to three events.
func (s *sender) compose(st eventlog.Stream) eventlog.Append {
	a := eventlog.Append{Stream: st, Expect: st.Seq}
	if s.rand.IntN(4) == 0 {
		a.Expect = eventlog.AnySeq
	}
	for range 1 + s.rand.IntN(3) {
		s.n++
		id := fmt.Sprintf("$%s.%d", s.name, s.n)
		one := message(st, 0, id)
		a.Entries, a.Rows = append(a.Entries, one.Entries...), append(a.Rows, one.Rows...)
	}
	if s.rand.IntN(2) == 0 {
		id := a.Entries[0].Ref
		a.Txns = []eventlog.Txn{{Scope: s.name, ID: id, Response: []byte(id)}}
	}
	if s.rand.IntN(10) == 0 {
		a.Statements = []eventlog.Statement{{SQL: "DELETE FROM extremity WHERE room = $1", Args: []any{-st.ID}}}
	}
	return a
}

// repeat sends an acknowledged transaction again: it must be answered as the first time, and written never.
func (s *sender) repeat(ctx context.Context) {
	a := *s.last
	a.Entries = []eventlog.Entry{{Kind: 1, Ref: a.Entries[0].Ref + ".again"}}
	a.Rows, a.Statements = nil, nil
	if s.rand.IntN(2) == 0 {
		a.Expect = eventlog.AnySeq
	}
	s.journal.try(a)
	r, err := s.log.Append(ctx, a)
	var duplicate *eventlog.DuplicateTxnError
	switch {
	case err == nil:
		s.journal.fail(fmt.Errorf("transaction %s was written twice: %v", a.Txns[0].ID, r))
	case errors.As(err, &duplicate) && string(duplicate.Response) != a.Txns[0].ID:
		s.journal.fail(fmt.Errorf("transaction %s was answered %q", a.Txns[0].ID, duplicate.Response))
	case errors.Is(err, eventlog.ErrConflict):
		s.journal.fail(fmt.Errorf("transaction %s was answered with a conflict", a.Txns[0].ID))
	}
	s.journal.answer(a, r, err)
}

// fate is what a sender knows of an entry.
type fate struct {
	outcome       string // "unknown", "written", "refused"
	stream        int64
	seq, position int64
}

// journal is what all senders know. With out set it is also written down line by line, to be read by another process
// after this one's death.
type journal struct {
	mu    sync.Mutex
	fates map[string]fate
	acks  int
	errs  []error
	out   io.Writer
}

func newJournal() *journal { return &journal{fates: make(map[string]fate)} }

func (j *journal) try(a eventlog.Append) {
	for _, e := range a.Entries {
		j.note(e.Ref, fate{outcome: "unknown"})
	}
}

func (j *journal) answer(a eventlog.Append, r eventlog.Result, err error) {
	for i, e := range a.Entries {
		switch {
		case err == nil:
			seq := r.Seq - int64(len(a.Entries)-1-i)
			j.note(e.Ref, fate{"written", a.Stream.ID, seq, r.Positions[i]})
		case errors.Is(err, eventlog.ErrUnknown):
		default:
			j.note(e.Ref, fate{outcome: "refused"})
		}
	}
	var duplicate *eventlog.DuplicateTxnError
	if err != nil && !errors.Is(err, eventlog.ErrUnknown) && !errors.Is(err, eventlog.ErrUnavailable) &&
		!errors.Is(err, eventlog.ErrConflict) && !errors.As(err, &duplicate) {
		j.fail(fmt.Errorf("append %s: %w", a.Entries[0].Ref, err))
	}
}

func (j *journal) note(ref string, f fate) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fates[ref] = f
	if f.outcome == "written" {
		j.acks++
	}
	if j.out != nil {
		_, _ = fmt.Fprintln(j.out, ref, f.outcome, f.stream, f.seq, f.position)
	}
}

func (j *journal) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.errs = append(j.errs, err)
	if j.out != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
	}
}

func (j *journal) acknowledged() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.acks
}

// read takes in the journal of another process until it ends. The last line may be cut off.
func (j *journal) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) != 5 {
			continue
		}
		var n [3]int64
		for i := range n {
			n[i], _ = strconv.ParseInt(f[2+i], 10, 64)
		}
		j.note(f[0], fate{f[1], n[0], n[1], n[2]})
	}
}

// check compares the database with the journals: no gap in a shard or a stream, everything that was acknowledged there
// once and where it was said to be, nothing that was refused, each transaction once, each event with its document.
func check(t testing.TB, l *eventlog.Log, journals ...*journal) {
	t.Helper()
	written := make(map[string]fate)
	h, err := l.Heads(t.Context())
	require.NoError(t, err)
	seqs := make(map[int64]int64)
	for shard, head := range h.Shard {
		for after := int64(0); after < head; {
			records, through, err := l.Read(t.Context(), shard, after, 1000)
			require.NoError(t, err)
			for i, r := range records {
				require.Equal(t, after+int64(i)+1, r.Position, "shard %d has a gap", shard)
				seqs[r.Stream]++
				require.Equal(t, seqs[r.Stream], r.Seq, "stream %s has a gap or another order", r.Name)
				require.NotContains(t, written, r.Ref)
				require.Equal(t, "doc of "+r.Ref, string(r.Doc))
				written[r.Ref] = fate{"written", r.Stream, r.Seq, r.Position}
			}
			require.Equal(t, after+int64(len(records)), through)
			after = through
		}
	}
	stored, err := l.Seqs(t.Context(), keys(seqs))
	require.NoError(t, err)
	require.Equal(t, seqs, stored)
	require.Equal(t, len(written), count(t, l, "event"), "an event without its entry")
	for _, j := range journals {
		require.Empty(t, j.errs)
		for ref, f := range j.fates {
			switch f.outcome {
			case "written":
				require.Equal(t, f, written[ref], "%s was acknowledged", ref)
			case "refused":
				require.NotContains(t, written, ref, "%s was refused", ref)
			}
		}
	}
	checkTxns(t, l, written)
}

// checkTxns compares the transaction ids with the entries: each is that of an event that is there.
func checkTxns(t testing.TB, l *eventlog.Log, written map[string]fate) {
	t.Helper()
	rows, err := l.DB().Query(t.Context(), "SELECT id, response FROM room_txn")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var id string
		var response []byte
		require.NoError(t, rows.Scan(&id, &response))
		require.Equal(t, id, string(response))
		require.Contains(t, written, id)
	}
	require.NoError(t, rows.Err())
}

func keys(m map[int64]int64) []int64 {
	out := make([]int64, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}

// seed returns where this run's randomness begins; HONGYAN_SEED repeats a run's.
func seed(t testing.TB) uint64 {
	t.Helper()
	s := rand.Uint64N(1 << 32)
	if text := os.Getenv("HONGYAN_SEED"); text != "" {
		var err error
		s, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("HONGYAN_SEED=%d", s)
	return s
}
