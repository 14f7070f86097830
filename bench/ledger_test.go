package bench_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/bench"
)

// A checker that cannot fail proves nothing: each kind of wrong is made once and must be found.
func TestLedgerFindsWhatIsWrong(t *testing.T) {
	const room = "!r:localhost"
	cases := map[string]struct {
		accepted []string
		a, b     []string
		want     bench.Verdict
	}{
		"all well":       {[]string{"1", "2", "3"}, []string{"1", "2", "3"}, []string{"1", "2", "3"}, bench.Verdict{}},
		"lost":           {[]string{"1", "2", "3"}, []string{"1", "2", "3"}, []string{"1", "3"}, bench.Verdict{Lost: 1}},
		"lost for all":   {[]string{"1", "2"}, []string{"1"}, []string{"1"}, bench.Verdict{Lost: 2}},
		"twice":          {[]string{"1", "2"}, []string{"1", "2", "1"}, []string{"1", "2"}, bench.Verdict{Duplicated: 1}},
		"another order":  {[]string{"1", "2"}, []string{"1", "2"}, []string{"2", "1"}, bench.Verdict{Reordered: 1}},
		"never accepted": {[]string{"1"}, []string{"1", "x"}, []string{"x", "1"}, bench.Verdict{Reordered: 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l := bench.NewLedger()
			l.Observe(room, "@a:localhost")
			l.Observe(room, "@b:localhost")
			for _, id := range c.accepted {
				l.Accept(room, id)
			}
			for _, id := range c.a {
				l.See(room, "@a:localhost", id)
			}
			for _, id := range c.b {
				l.See(room, "@b:localhost", id)
			}
			got := l.Verdict()
			require.Equal(t, c.want.Lost, got.Lost, "lost")
			require.Equal(t, c.want.Duplicated, got.Duplicated, "duplicated")
			require.Equal(t, c.want.Reordered, got.Reordered, "reordered")
			require.Equal(t, len(c.accepted), got.Accepted)
			require.Equal(t, c.want.Lost+c.want.Duplicated+c.want.Reordered == 0, got.OK())
		})
	}
}
