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
		``:                               nil,
		`{}`:                             nil,
		`[]`:                             nil,
		`{"ignored_users":null}`:         nil,
		`{"ignored_users":["@a:hs"]}`:    nil,
		`{"Ignored_Users":{"@a:hs":{}}}`: nil,
		`{"ignored_users":{"@a:hs":1,"x":1,"@\u0000:hs":{}}}`: {"@a:hs"},
		`{"ignored_users":{"@a:hs":{},"@me:hs":{}}}`:          {"@a:hs"},
	} {
		require.Equal(t, want, slices.Sorted(maps.Keys(matrix.ParseIgnored([]byte(content), "@me:hs"))), content)
	}
}
