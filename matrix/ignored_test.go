package matrix_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
)

func TestParseIgnored(t *testing.T) {
	for content, want := range map[string][]string{
		``:                                     nil,
		`{}`:                                   nil,
		`[]`:                                   nil,
		`{"ignored_users":null}`:               nil,
		`{"ignored_users":["@a:hs"]}`:          nil,
		`{"Ignored_Users":{"@a:hs":{}}}`:       nil,
		`{"ignored_users":{"@a:hs":{},"x":1}}`: {"@a:hs", "x"},
		`{"ignored_users":{"@a:hs":{},"@me:hs":{}}}`: {"@a:hs"},
	} {
		require.Equal(t, want, slices.Sorted(maps.Keys(matrix.ParseIgnored([]byte(content), "@me:hs"))), content)
	}
}
