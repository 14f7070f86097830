package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
)

// content reads all of a shard from the database, as position, sequence number and key or ref.
func content(t testing.TB, l *eventlog.Log, shard int) []string {
	t.Helper()
	fresh, err := eventlog.Open(t.Context(), l.DB(), roomSchema(), eventlog.Config{})
	require.NoError(t, err)
	var out []string
	for after := int64(0); ; {
		records, through, err := fresh.Read(t.Context(), shard, after, 3)
		require.NoError(t, err)
		for _, r := range records {
			out = append(out, fmt.Sprintf("%d/%d %s%s", r.Position, r.Seq, r.Key, r.Ref))
		}
		if through == after {
			return out
		}
		after = through
	}
}

func count(t testing.TB, l *eventlog.Log, table string) int {
	t.Helper()
	var n int
	require.NoError(t, l.DB().QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}

func TestTransactionIDIsAnsweredOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		s := stream(t, l, "!a:x")
		first := message(s, 0, "$1")
		first.Txns = []eventlog.Txn{{Scope: "alice", ID: "t1", Response: []byte(`{"event_id":"$1"}`)}}
		_, err := l.Append(t.Context(), first)
		require.NoError(t, err)

		for name, expect := range map[string]int64{"fresh": 1, "stale": 0, "any": eventlog.AnySeq} {
			repeat := message(s, expect, "$2-"+name)
			repeat.Txns = []eventlog.Txn{{Scope: "alice", ID: "other", Response: []byte("x")}, first.Txns[0]}
			_, err = l.Append(t.Context(), repeat)
			var duplicate *eventlog.DuplicateTxnError
			require.ErrorAs(t, err, &duplicate, name)
			require.Equal(t, eventlog.DuplicateTxnError{Scope: "alice", ID: "t1", Response: []byte(`{"event_id":"$1"}`)}, *duplicate)
		}
		require.Equal(t, 1, count(t, l, "room_txn"), "a refused append leaves none of its transaction ids")
		require.Equal(t, 1, count(t, l, "event"))
		require.Equal(t, []string{"1/1 $1"}, content(t, l, s.Shard))

		// The id belongs to its scope.
		bob := message(s, 1, "$3")
		bob.Txns = []eventlog.Txn{{Scope: "bob", ID: "t1", Response: []byte("y")}}
		_, err = l.Append(t.Context(), bob)
		require.NoError(t, err)
		response, ok, err := l.Txn(t.Context(), "bob", "t1")
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, []byte("y"), response)
		_, ok, err = l.Txn(t.Context(), "carol", "t1")
		require.NoError(t, err)
		require.False(t, ok)
	})
}

// TestSameEntriesOfAnotherAppend has two instances make the same entry, as two equal events of one user are that are made in the same
// millisecond: only the append that wrote it has written it.
func TestSameEntriesOfAnotherAppend(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		s := stream(t, l, "!a:x")
		with := func(txn string, refs ...string) eventlog.Append {
			a := message(s, 0, refs[0])
			for _, ref := range refs[1:] {
				more := message(s, 0, ref)
				a.Entries, a.Rows = append(a.Entries, more.Entries...), append(a.Rows, more.Rows...)
			}
			a.Txns = []eventlog.Txn{{Scope: "alice", ID: txn, Response: []byte(txn)}}
			return a
		}
		_, err := l.Append(t.Context(), with("t1", "$1"))
		require.NoError(t, err)
		_, err = l.Append(t.Context(), with("t2", "$1"))
		require.ErrorIs(t, err, eventlog.ErrConflict, "another request")
		_, err = l.Append(t.Context(), with("t2", "$1", "$2"))
		require.ErrorIs(t, err, eventlog.ErrConflict, "more than was written")
		both := with("t1", "$1")
		both.Txns = append(both.Txns, eventlog.Txn{Scope: "alice", ID: "t3", Response: []byte("t3")})
		var duplicate *eventlog.DuplicateTxnError
		_, err = l.Append(t.Context(), both)
		require.ErrorAs(t, err, &duplicate, "one request of two")
		_, err = l.Append(t.Context(), with("t1", "$1"))
		require.ErrorAs(t, err, &duplicate, "the same request")
		require.Equal(t, []string{"1/1 $1"}, content(t, l, s.Shard))
		require.Equal(t, 1, count(t, l, "room_txn"))
	})
}

func TestTransactionIDTwiceAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		txn := []eventlog.Txn{{Scope: "alice", ID: "t1", Response: []byte("first")}}
		a, b := message(stream(t, l, "!a:x"), 0, "$1"), message(stream(t, l, "!b:x"), 0, "$2")
		a.Txns, b.Txns = txn, txn
		_, errs := l.AppendAll(t.Context(), []eventlog.Append{a, b})
		if errs[0] != nil {
			errs[0], errs[1] = errs[1], errs[0] // rooms have no order among them
		}
		require.NoError(t, errs[0])
		var duplicate *eventlog.DuplicateTxnError
		require.ErrorAs(t, errs[1], &duplicate)
		require.Equal(t, []byte("first"), duplicate.Response)
		require.Equal(t, 1, count(t, l, "event"))
	})
}

func TestAppendAllKeepsThemApart(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		a, b, c := stream(t, l, "!a:x"), stream(t, l, "!b:x"), stream(t, l, "!c:x")
		_, err := l.Append(t.Context(), message(c, 0, "$taken"))
		require.NoError(t, err)
		_, errs := l.AppendAll(t.Context(), []eventlog.Append{
			message(a, 0, "$a1"),
			message(b, 7, "$b8"),    // another sequence
			message(c, 1, "$taken"), // the event's row exists
			message(a, 1, "$a2"),    // depends on the first
			{Stream: a, Expect: 0},  // no entry
			message(b, 0, "$b1"),
		})
		require.NoError(t, errs[0])
		require.ErrorIs(t, errs[1], eventlog.ErrConflict)
		require.ErrorIs(t, errs[2], eventlog.ErrExists)
		require.NoError(t, errs[3])
		require.ErrorContains(t, errs[4], "needs an entry")
		require.NoError(t, errs[5])
		require.Equal(t, []string{"1/1 $a1", "2/2 $a2"}, content(t, l, a.Shard))
		require.Equal(t, []string{"1/1 $b1"}, content(t, l, b.Shard))
		require.Equal(t, []string{"1/1 $taken"}, content(t, l, c.Shard))
		seqs, err := l.Seqs(t.Context(), []int64{a.ID, b.ID, c.ID, 99})
		require.NoError(t, err)
		require.Equal(t, map[int64]int64{a.ID: 2, b.ID: 1, c.ID: 1}, seqs)
	})
}

func TestLatestWins(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		s := stream(t, l, "!a:x")
		receipt := func(key, body string) eventlog.Entry { return eventlog.Entry{Kind: 2, Key: key, Body: []byte(body)} }
		r, err := l.Append(t.Context(), eventlog.Append{Stream: s, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{
			receipt("r/bob", "1"), {Kind: 1, Ref: "$1"}, receipt("r/alice", "1"), receipt("r/bob", "2"), receipt("q", ""),
		}})
		require.NoError(t, err)
		require.Equal(t, eventlog.Result{Seq: 1, Positions: []int64{1, 2, 3, 4, 5}}, r)
		require.Equal(t, []string{"2/1 $1", "3/0 r/alice", "4/0 r/bob", "5/0 q"}, content(t, l, s.Shard))

		r, err = l.Append(t.Context(), eventlog.Append{Stream: s, Expect: 1, Entries: []eventlog.Entry{receipt("r/alice", "2")}})
		require.NoError(t, err)
		require.Equal(t, eventlog.Result{Seq: 1, Positions: []int64{6}}, r)
		_, err = l.Append(t.Context(), eventlog.Append{Stream: s, Expect: 0, Entries: []eventlog.Entry{receipt("r/alice", "3")}})
		require.ErrorIs(t, err, eventlog.ErrConflict)
		require.Equal(t, []string{"2/1 $1", "4/0 r/bob", "5/0 q", "6/0 r/alice"}, content(t, l, s.Shard))

		latest, err := l.Latest(t.Context(), s.ID, "r/")
		require.NoError(t, err)
		require.Len(t, latest, 2)
		require.Equal(t, eventlog.Record{
			Shard: s.Shard, Position: 6, Stream: s.ID, Name: "!a:x", Kind: 2, Key: "r/alice", Body: []byte("2"),
		}, latest[0])
		all, err := l.Latest(t.Context(), s.ID, "")
		require.NoError(t, err)
		require.Len(t, all, 3)

		other := stream(t, l, "!b:x")
		_, err = l.Append(t.Context(), eventlog.Append{Stream: other, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{receipt("k", "b")}})
		require.NoError(t, err)
		newer, err := l.LatestAfter(t.Context(), map[int64]int64{s.ID: 4, other.ID: 0, 99: 0})
		require.NoError(t, err)
		var keys []string
		for _, r := range newer {
			keys = append(keys, r.Name+" "+r.Key)
		}
		require.Equal(t, []string{"!a:x q", "!a:x r/alice", "!b:x k"}, keys)
	})
}

func TestGreatestRankWins(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		s := stream(t, l, "!a:x")
		mark := func(key string, rank int64, body string) eventlog.Entry {
			return eventlog.Entry{Kind: 2, Key: key, Rank: rank, Body: []byte(body)}
		}
		add := func(entries ...eventlog.Entry) {
			t.Helper()
			_, err := l.Append(t.Context(), eventlog.Append{Stream: s, Expect: eventlog.AnySeq, Entries: entries})
			require.NoError(t, err)
		}
		stored := func() (bodies []string) {
			t.Helper()
			latest, err := l.Latest(t.Context(), s.ID, "")
			require.NoError(t, err)
			for _, r := range latest {
				bodies = append(bodies, r.Key+string(r.Body))
			}
			return bodies
		}
		add(mark("a", 5, "5"), mark("b", 0, "first"))
		add(mark("a", 3, "3"), eventlog.Entry{Kind: 1, Ref: "$1"}, mark("b", 0, "second"))
		require.Equal(t, []string{"a5", "bsecond"}, stored())
		add(mark("a", 5, "5 again"))
		require.Equal(t, []string{"a5 again", "bsecond"}, stored(), "of equal ranks the latest wins")
		add(mark("a", 9, "9"), mark("a", 7, "7"), mark("c", 1, "1"))
		require.Equal(t, []string{"a9", "bsecond", "c1"}, stored(), "also within an append")
		// Several appends at once, whether in a batch or in several.
		results, errs := l.AppendAll(t.Context(), []eventlog.Append{
			{Stream: s, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{mark("a", 20, "20"), mark("c", 3, "3")}},
			{Stream: s, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{mark("a", 12, "12"), mark("c", 4, "4")}},
		})
		require.NoError(t, errors.Join(errs...))
		require.Len(t, results[1].Positions, 2, "what is outranked has a position, which is empty")
		require.Equal(t, []string{"a20", "bsecond", "c4"}, stored())

		// What is read from memory and from the database ends with the same.
		newest := map[string]string{}
		for after := int64(0); ; {
			records, through, err := l.Read(t.Context(), s.Shard, after, 100)
			require.NoError(t, err)
			for _, r := range records {
				if r.Key == "a" {
					require.NotContains(t, []string{"3", "7", "12"}, string(r.Body), "nobody hears of what was outranked")
				}
				newest[r.Key] = string(r.Body)
			}
			if through == after {
				break
			}
			after = through
		}
		require.Equal(t, map[string]string{"a": "20", "b": "second", "c": "4", "": ""}, newest)
		require.Equal(t, []string{"4/1 $1", "5/0 b", "10/0 a", "13/0 c"}, content(t, l, s.Shard))

		for _, e := range []eventlog.Entry{mark("", 1, "x"), {Kind: 1, Ref: "$2", Rank: 1}, mark("a", -1, "x")} {
			_, err := l.Append(t.Context(), eventlog.Append{Stream: s, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{e}})
			require.Error(t, err)
		}
	})
}

func TestAppendsThatExpectNothingShareABatch(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		s := stream(t, l, "@alice:x")
		appends := make([]eventlog.Append, 20)
		for i := range appends {
			appends[i] = eventlog.Append{Stream: s, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{
				{Kind: 1, Ref: fmt.Sprintf("r%d", i)}, {Kind: 2, Key: "same", Body: fmt.Append(nil, i)}, {Kind: 1, Ref: fmt.Sprintf("s%d", i)},
			}}
		}
		results, errs := l.AppendAll(t.Context(), appends)
		for i := range appends {
			require.NoError(t, errs[i])
			n := int64(i)
			require.Equal(t, eventlog.Result{Seq: 2 * (n + 1), Positions: []int64{3*n + 1, 3*n + 2, 3*n + 3}}, results[i])
		}
		latest, err := l.Latest(t.Context(), s.ID, "")
		require.NoError(t, err)
		require.Len(t, latest, 1)
		require.Equal(t, "19", string(latest[0].Body))
		require.Len(t, content(t, l, s.Shard), 41)
	})
}

func TestStatementsAreOfTheAppend(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		s := stream(t, l, "!a:x")
		set := func(expect int64, id string, want int64) error {
			a := message(s, expect, id)
			a.Txns = []eventlog.Txn{{Scope: "alice", ID: id, Response: []byte(id)}}
			a.Statements = []eventlog.Statement{
				{SQL: "INSERT INTO extremity (room, event_ids, soft) VALUES ($1, $2, $3)", Args: []any{expect, id, true}},
				{SQL: "UPDATE extremity SET event_ids = $2 WHERE soft = $1 AND room >= 0", Args: []any{true, id}, Want: want},
			}
			_, err := l.Append(t.Context(), a)
			return err
		}
		require.NoError(t, set(0, "$1", 1))
		require.ErrorIs(t, set(1, "$2", 1), eventlog.ErrConflict, "two rows change")
		require.Equal(t, 1, count(t, l, "extremity"))
		require.NoError(t, set(1, "$2", 2))
		require.ErrorIs(t, set(7, "$3", 3), eventlog.ErrConflict, "another sequence")
		var duplicate *eventlog.DuplicateTxnError
		require.ErrorAs(t, set(2, "$2", 3), &duplicate)
		require.Equal(t, 2, count(t, l, "extremity"), "the statements of refused appends are gone")
		require.Equal(t, []string{"1/1 $1", "2/2 $2"}, content(t, l, s.Shard))
	})
}

func TestRowsReplaceTheColumnsToUpdate(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		type ids string
		s := stream(t, l, "!a:x")
		a := message(s, 0, "$1")
		a.Rows = append(a.Rows,
			eventlog.Row{Table: tableExtremity, Values: []any{s.ID, "old", true}},
			eventlog.Row{Table: tableExtremity, Values: []any{s.ID, ids("new"), false}},
			eventlog.Row{Table: tableExtremity, Values: []any{s.ID + 1, nil, true}})
		_, err := l.Append(t.Context(), a)
		require.NoError(t, err)
		var text string
		var soft bool
		require.NoError(t, l.DB().QueryRow(t.Context(), "SELECT event_ids, soft FROM extremity WHERE room = $1", s.ID).Scan(&text, &soft))
		require.Equal(t, "new", text)
		require.False(t, soft)
		require.Equal(t, 2, count(t, l, "extremity"))
	})
}

func TestSequencesAndPositions(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		a := stream(t, l, "!a:x")
		b := sameShard(t, l, a)
		positions := []int64{0}
		for i := range int64(40) {
			_, err := l.Append(t.Context(), message(b, i, fmt.Sprintf("$b%d", i)))
			require.NoError(t, err)
			if i%3 == 0 {
				r, err := l.Append(t.Context(), message(a, i/3, fmt.Sprintf("$a%d", i)))
				require.NoError(t, err)
				positions = append(positions, r.Positions[0])
			}
		}
		for seq, position := range positions {
			got, err := l.PositionAt(t.Context(), a, int64(seq))
			require.NoError(t, err)
			require.Equal(t, position, got)
		}
		want := int64(0)
		for position := range int64(60) {
			if want+1 < int64(len(positions)) && positions[want+1] <= position {
				want++
			}
			got, err := l.SeqAt(t.Context(), a, position)
			require.NoError(t, err)
			require.Equal(t, want, got, "position %d", position)
		}
	})
}

// sameShard returns another stream of the same shard.
func sameShard(t testing.TB, l *eventlog.Log, s eventlog.Stream) eventlog.Stream {
	t.Helper()
	for i := 0; ; i++ {
		if name := fmt.Sprintf("!other%d:x", i); eventlog.ShardOf(name, l.Shards()) == s.Shard {
			return stream(t, l, name)
		}
	}
}

func TestEndedContextsAndClosedLogs(t *testing.T) {
	onBoth(t, func(t *testing.T, running *eventlog.Log) {
		s := stream(t, running, "!a:x")
		l, err := eventlog.Open(t.Context(), running.DB(), roomSchema(), eventlog.Config{})
		require.NoError(t, err)

		// Nobody writes yet: the append is taken back when its context ends.
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error)
		go func() { _, err := l.Append(ctx, message(s, 0, "$1")); errs <- err }()
		cancel()
		err = <-errs
		require.ErrorIs(t, err, eventlog.ErrUnavailable)
		require.ErrorIs(t, err, context.Canceled)

		stop := run(t, l)
		_, err = l.Append(t.Context(), message(s, 0, "$2"))
		require.NoError(t, err, "the append that was taken back was not written")
		stop()
		_, err = l.Append(t.Context(), message(s, 1, "$3"))
		require.ErrorIs(t, err, eventlog.ErrUnavailable)
		require.Equal(t, []string{"1/1 $2"}, content(t, l, s.Shard))
	})
}

func TestCommitIsToldBeforeTheAnswer(t *testing.T) {
	onBoth(t, func(t *testing.T, running *eventlog.Log) {
		heads := make(chan int64, 10)
		l, err := eventlog.Open(t.Context(), running.DB(), roomSchema(), eventlog.Config{
			OnCommit: func(_ int, head int64) { heads <- head },
		})
		require.NoError(t, err)
		run(t, l)
		s := stream(t, l, "!a:x")
		for i := range int64(3) {
			_, err := l.Append(t.Context(), message(s, i, fmt.Sprint("$", i)))
			require.NoError(t, err)
			require.Len(t, heads, 1)
			require.Equal(t, i+1, <-heads)
		}
	})
}

func TestEpochAndShardsOutliveAReopening(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		schema := roomSchema()
		schema.Shards = 7
		again, err := eventlog.Open(t.Context(), l.DB(), schema, eventlog.Config{})
		require.NoError(t, err)
		require.Equal(t, l.Shards(), again.Shards())
		require.Equal(t, l.Epoch(), again.Epoch())
		require.NoError(t, again.NewEpoch(t.Context()))
		h, err := l.Heads(t.Context())
		require.NoError(t, err)
		require.NotEqual(t, l.Epoch(), h.Epoch)
	})
}

func TestFullQueueLetsEverybodyThrough(t *testing.T) {
	onBoth(t, func(t *testing.T, running *eventlog.Log) {
		l, err := eventlog.Open(t.Context(), running.DB(), roomSchema(), eventlog.Config{MaxQueue: 3, MaxBatch: 2})
		require.NoError(t, err)
		run(t, l)
		var wg sync.WaitGroup
		for i := range 8 {
			s := stream(t, l, fmt.Sprintf("!%d:x", i))
			wg.Go(func() {
				appends := make([]eventlog.Append, 20)
				for n := range appends {
					appends[n] = message(s, int64(n), fmt.Sprintf("$%d-%d", i, n))
				}
				results, errs := l.AppendAll(t.Context(), appends)
				for n := range appends {
					assert.NoError(t, errs[n])
					assert.Equal(t, int64(n+1), results[n].Seq)
				}
			})
		}
		wg.Wait()
	})
}
