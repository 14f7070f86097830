package transfer

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/sqldb"
)

var everyKind = []sqldb.TableColumn{
	{Name: "i", Kind: sqldb.KindInt}, {Name: "t", Kind: sqldb.KindText}, {Name: "b", Kind: sqldb.KindBytes},
	{Name: "o", Kind: sqldb.KindBool}, {Name: "f", Kind: sqldb.KindFloat},
}

func TestRowsAreDecoded(t *testing.T) {
	for _, row := range [][]any{
		{int64(math.MinInt64), "a\x00b", []byte{0}, int64(1), math.Inf(-1)},
		{nil, nil, nil, nil, nil},
		{int64(0), "", []byte{}, int64(0), 0.0},
	} {
		text, err := appendRow(nil, row)
		require.NoError(t, err)
		got, rest, err := decodeRow(append(text, "rest"...), everyKind)
		require.NoError(t, err)
		require.Equal(t, row, got)
		require.Equal(t, []byte("rest"), rest)
		for n := range text {
			_, _, err := decodeRow(text[:n], everyKind)
			require.ErrorIs(t, err, errRow)
		}
	}
	_, err := appendRow(nil, []any{struct{}{}})
	require.Error(t, err)
}

func TestSumsDoNotDependOnTheOrder(t *testing.T) {
	var ab, ba, aa Sum
	for _, add := range []struct {
		to   *Sum
		text string
	}{{&ab, "a"}, {&ab, "b"}, {&ba, "b"}, {&ba, "a"}, {&aa, "a"}, {&aa, "a"}} {
		add.to.add([]byte(add.text))
	}
	require.Equal(t, ab, ba)
	require.NotEqual(t, ab, aa)
	text, err := ab.Digest.MarshalText()
	require.NoError(t, err)
	var again Digest
	require.NoError(t, again.UnmarshalText(text))
	require.Equal(t, ab.Digest, again)
	require.Error(t, again.UnmarshalText([]byte("12")))
}

// FuzzDecodeRow decodes what was encoded nowhere, and what it takes for a row comes back.
func FuzzDecodeRow(f *testing.F) {
	for _, row := range [][]any{{int64(-3), "t", []byte("b"), int64(1), 1.5}, {nil, nil, nil, nil, nil}} {
		text, err := appendRow(nil, row)
		require.NoError(f, err)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		row, _, err := decodeRow(text, everyKind)
		if err != nil {
			return
		}
		again, err := appendRow(nil, row)
		require.NoError(t, err)
		same, rest, err := decodeRow(again, everyKind)
		require.NoError(t, err)
		require.Empty(t, rest)
		if f, ok := row[4].(float64); ok && math.IsNaN(f) {
			row[4], same[4] = nil, nil
		}
		require.Equal(t, row, same)
	})
}
