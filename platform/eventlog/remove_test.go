package eventlog_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// TestRemovedEntriesLeaveEmptyPositions removes entries at random between appends. What is left must stand in the order and at
// the positions that it had, be read from memory and from the database alike, and every position must divide it as before.
func TestRemovedEntriesLeaveEmptyPositions(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		random := rand.New(rand.NewPCG(1, 2))
		s, other := stream(t, l, "!a:hs"), stream(t, l, "!b:hs")
		left := map[int64]int64{} // positions by sequence number
		for round := range 60 {
			for _, to := range []eventlog.Stream{s, other} {
				got, err := l.Append(t.Context(), eventlog.Append{Stream: to, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{
					{Kind: 1, Ref: fmt.Sprint("$", to.ID, "-", round), Body: []byte("x")},
				}})
				require.NoError(t, err)
				if to.ID == s.ID {
					s.Seq = got.Seq
					left[got.Seq] = got.Positions[0]
				}
			}
			var gone, positions []int64
			for seq, position := range left {
				if random.IntN(5) == 0 {
					gone, positions = append(gone, seq), append(positions, position)
				}
			}
			var n int64
			require.NoError(t, l.DB().Write(t.Context(), func(ctx context.Context, tx sqldb.Tx) (err error) {
				n, err = l.Remove(ctx, tx, s.ID, gone)
				return err
			}))
			for i, seq := range gone {
				if seq == s.Seq { // the newest stays
					gone, positions = slices.Delete(gone, i, i+1), slices.Delete(positions, i, i+1)
					break
				}
			}
			require.EqualValues(t, len(gone), n)
			l.Forget(s.Shard, positions)
			for _, seq := range gone {
				delete(left, seq)
			}
			for _, from := range []*eventlog.Log{l, openLog(t, l.DB(), eventlog.Config{})} {
				require.Equal(t, left, positionsOf(t, from, s))
				divides(t, from, s, left)
			}
		}
		n := int64(0)
		require.NoError(t, l.DB().Write(t.Context(), func(ctx context.Context, tx sqldb.Tx) (err error) {
			n, err = l.RemoveThrough(ctx, tx, s.ID, s.Seq)
			return err
		}))
		require.EqualValues(t, len(left), n)
		require.Empty(t, positionsOf(t, openLog(t, l.DB(), eventlog.Config{}), s))
		require.Len(t, positionsOf(t, l, other), 60, "another stream keeps its own")
	})
}

// positionsOf reads a stream's entries from its shard, by sequence number.
func positionsOf(t *testing.T, l *eventlog.Log, s eventlog.Stream) map[int64]int64 {
	t.Helper()
	found := map[int64]int64{}
	for after := int64(0); ; {
		records, through, err := l.Read(t.Context(), s.Shard, after, 7)
		require.NoError(t, err)
		for _, r := range records {
			if r.Stream == s.ID {
				found[r.Seq] = r.Position
			}
		}
		if through <= after {
			return found
		}
		after = through
	}
}

// divides checks that SeqAt and PositionAt put each entry that is left on the right side.
func divides(t *testing.T, l *eventlog.Log, s eventlog.Stream, left map[int64]int64) {
	t.Helper()
	last := left[s.Seq]
	for _, position := range []int64{0, 1, last / 3, last / 2, last - 1, last, last + 5} {
		seq, err := l.SeqAt(t.Context(), s, position)
		require.NoError(t, err)
		for of, at := range left {
			require.Equal(t, at <= position, of <= seq, "entry %d at %d, asked for %d, got %d", of, at, position, seq)
		}
	}
	for seq := int64(0); seq <= s.Seq; seq++ {
		position, err := l.PositionAt(t.Context(), s, seq)
		require.NoError(t, err)
		for of, at := range left {
			require.Equal(t, of <= seq, at <= position, "entry %d at %d, asked for %d, got %d", of, at, seq, position)
		}
	}
}

// TestRowsAreAddedUp is that a column in Add has what all appends added and what others changed meanwhile, and the others the newest.
func TestRowsAreAddedUp(t *testing.T) {
	onBoth(t, func(t *testing.T, l *eventlog.Log) {
		s := stream(t, l, "!a:hs")
		put := func(n, last int64) {
			_, err := l.Append(t.Context(), eventlog.Append{
				Stream: s, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{{Kind: 1, Ref: fmt.Sprint("$", last), Body: []byte("x")}},
				Rows: []eventlog.Row{{Table: tableTally, Values: []any{s.ID, n, last}}},
			})
			require.NoError(t, err)
		}
		put(3, 1)
		put(4, 2)
		_, err := l.DB().Exec(t.Context(), `UPDATE tally SET n = n - 2`)
		require.NoError(t, err)
		put(-1, 3)
		var n, last int64
		require.NoError(t, l.DB().QueryRow(t.Context(), `SELECT n, last FROM tally WHERE room = $1`, s.ID).Scan(&n, &last))
		require.Equal(t, [2]int64{4, 3}, [2]int64{n, last})
	})
	schema := roomSchema()
	for _, wrong := range []string{"room", "no_such", "event_ids"} {
		schema.Tables[tableTally].Add = []string{wrong}
		require.ErrorContains(t, schema.Validate(), "nothing is added")
	}
}
