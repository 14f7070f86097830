package httpx_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

func TestQuery(t *testing.T) {
	u, err := url.Parse("/?s=a%2Fb&n=50&b=true&e=one&empty=&m=1&m=2&s=second")
	require.NoError(t, err)
	q := httpx.ReadQuery(u)
	require.Equal(t, "a/b", q.String("s"))
	require.Equal(t, "a/b", q.Required("s"))
	require.Empty(t, q.String("none"))
	require.True(t, q.Has("empty"))
	require.False(t, q.Has("none"))
	require.Equal(t, []string{"1", "2"}, q.Strings("m"))
	require.EqualValues(t, 50, q.Int("n", 10, 0, 100))
	require.EqualValues(t, 20, q.Int("n", 10, 0, 20), "too much is as much as may be")
	require.EqualValues(t, 10, q.Int("none", 10, 0, 20))
	require.EqualValues(t, 10, q.Int("empty", 10, 0, 20))
	require.True(t, q.Bool("b", false))
	require.True(t, q.Bool("none", true))
	require.Equal(t, "one", q.Enum("e", "two", "one", "two"))
	require.Equal(t, "two", q.Enum("none", "two", "one", "two"))
	require.NoError(t, q.Err())
}

func TestQueryRefuses(t *testing.T) {
	for _, tc := range []struct {
		query string
		read  func(*httpx.Query)
		code  matrix.ErrCode
	}{
		{"n=x", func(q *httpx.Query) { q.Int("n", 0, 0, 9) }, matrix.CodeInvalidParam},
		{"n=-1", func(q *httpx.Query) { q.Int("n", 0, 0, 9) }, matrix.CodeInvalidParam},
		{"n=1.5", func(q *httpx.Query) { q.Int("n", 0, 0, 9) }, matrix.CodeInvalidParam},
		{"n=99999999999999999999", func(q *httpx.Query) { q.Int("n", 0, 0, 9) }, matrix.CodeInvalidParam},
		{"b=yes", func(q *httpx.Query) { q.Bool("b", false) }, matrix.CodeInvalidParam},
		{"e=three", func(q *httpx.Query) { q.Enum("e", "one", "one") }, matrix.CodeInvalidParam},
		{"s=%FF", func(q *httpx.Query) { _ = q.String("s") }, matrix.CodeInvalidParam},
		{"s=%00", func(q *httpx.Query) { q.Strings("s") }, matrix.CodeInvalidParam},
		{"s=", func(q *httpx.Query) { q.Required("s") }, matrix.CodeMissingParam},
		{"", func(q *httpx.Query) { q.Required("s"); q.Required("t") }, matrix.CodeMissingParam},
	} {
		q := httpx.ReadQuery(&url.URL{RawQuery: tc.query})
		tc.read(q)
		require.Error(t, q.Err(), tc.query)
		require.Equal(t, tc.code, matrix.AsError(q.Err()).Code, tc.query)
	}
}
