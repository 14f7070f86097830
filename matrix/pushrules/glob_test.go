package pushrules_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"hongyan/matrix/pushrules"
)

// TestGlobAgreesWithRegexp compares with regular expressions, which are too slow to evaluate for
// every user.
func TestGlobAgreesWithRegexp(t *testing.T) {
	letters := rapid.SampledFrom([]rune("aab*?_ -é日"))
	texts := rapid.StringOf(rapid.SampledFrom([]rune("aab_ -é日")))
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOf(letters).Draw(t, "pattern")
		text := texts.Draw(t, "text")
		expression := "(?s)" + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
		require.Equal(t, regexp.MustCompile(`^(?:`+expression+`)$`).MatchString(text), pushrules.MatchAll(pattern, text), "all")
		require.Equal(t, matchWordsSlowly(expression, pattern, text), pushrules.MatchWords(pattern, text), "words")
	})
}

// matchWordsSlowly tries every pair of word boundaries.
func matchWordsSlowly(expression, pattern, text string) bool {
	if pattern == "" {
		return false
	}
	re := regexp.MustCompile(`^(?:` + expression + `)$`)
	bounds := []int{}
	for i := range text {
		bounds = append(bounds, i)
	}
	bounds = append(bounds, len(text))
	for _, start := range bounds {
		for _, end := range bounds {
			if start <= end && pushrules.IsBoundary(text, start) && pushrules.IsBoundary(text, end) && re.MatchString(text[start:end]) {
				return true
			}
		}
	}
	return false
}

func TestContainsWordAgreesWithGlob(t *testing.T) {
	texts := rapid.StringOf(rapid.SampledFrom([]rune("aab_ -é日")))
	rapid.Check(t, func(t *rapid.T) {
		word, text := texts.Draw(t, "word"), texts.Draw(t, "text")
		if word != "" {
			require.Equal(t, pushrules.MatchWords(word, text), pushrules.ContainsWord(text, word))
		}
	})
}

// TestGlobIsFastOnHostileInput would take years with a backtracking matcher.
func TestGlobIsFastOnHostileInput(t *testing.T) {
	text := strings.Repeat("a", 60000)
	require.False(t, pushrules.MatchAll(strings.Repeat("a*", 200)+"b", text))
	require.False(t, pushrules.MatchWords(strings.Repeat("a*", 200)+"b", text))
	require.False(t, pushrules.MatchWords(strings.Repeat("a?*", 150)+"b", text))
}
