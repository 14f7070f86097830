package bus_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stretchr/testify/require"

	"hongyan/platform/bus"
)

// fits is the rule, written another way.
func fits(pattern, subject []string) bool {
	switch {
	case len(pattern) == 0 || len(subject) == 0:
		return len(pattern) == len(subject)
	case pattern[0] == ">":
		return true
	}
	return (pattern[0] == "*" || pattern[0] == subject[0]) && fits(pattern[1:], subject[1:])
}

func TestFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "aa"}), 1, 4)
		subject := words.Draw(t, "subject")
		pattern := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "aa", "*"}), 0, 4).Draw(t, "pattern")
		if len(pattern) == 0 || rapid.Bool().Draw(t, "open") {
			pattern = append(pattern, ">")
		}
		p, s := strings.Join(pattern, "."), strings.Join(subject, ".")
		require.NoError(t, bus.CheckPattern(p))
		require.NoError(t, bus.CheckSubject(s))
		require.Equal(t, fits(pattern, subject), bus.Fits(p, s), "%s %s", p, s)
	})
}
