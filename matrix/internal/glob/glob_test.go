package glob_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"hongyan/matrix/internal/glob"
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
		require.Equal(t, regexp.MustCompile(`^(?:`+expression+`)$`).MatchString(text), matchAll(pattern, text), "all")
		require.Equal(t, matchWordsSlowly(expression, pattern, text), matchWords(pattern, text), "words")
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
			if start <= end && glob.IsBoundary(text, start) && glob.IsBoundary(text, end) && re.MatchString(text[start:end]) {
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
			require.Equal(t, matchWords(word, text), glob.ContainsWord(text, word))
		}
	})
}

// TestGlobIsFastOnHostileInput would take years with a backtracking matcher.
func TestGlobIsFastOnHostileInput(t *testing.T) {
	text := strings.Repeat("a", 60000)
	require.False(t, matchAll(strings.Repeat("a*", 200)+"b", text))
	require.False(t, matchWords(strings.Repeat("a*", 200)+"b", text))
	require.False(t, matchWords(strings.Repeat("a?*", 150)+"b", text))
}

func matchAll(pattern, s string) bool {
	g := glob.New(pattern)
	return g.MatchAll(s)
}

func matchWords(pattern, s string) bool {
	g := glob.New(pattern)
	return g.MatchWords(s)
}
