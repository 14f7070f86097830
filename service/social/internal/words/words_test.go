package words_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"hongyan/service/social/internal/words"
)

func TestTokens(t *testing.T) {
	for text, want := range map[string][]string{
		"":                {},
		"Anna-Lena  O'Br": {"anna-lena", "br", "lena", "o'br"},
		"王小明":             {"小明", "明", "王小明"},
		"DJ小明x":           {"dj小明x", "x", "小明x", "明x"},
		"Ёж Müller":       {"muller", "еж"},
		"ﾊﾟﾝ":             {"パン", "ン"}, // half width, with the mark as a character of its own
		"(a)":             {"(a)", "a)"},
		"a a A":           {"a"},
	} {
		got := words.Tokens(words.Fold(text))
		require.ElementsMatch(t, want, got, text)
		require.True(t, slices.IsSorted(got), text)
	}
	require.Equal(t, []string{"anna", "b"}, words.Split("b an anna a b"), "what is the beginning of another says nothing")
}

// FuzzNames: whoever has a name is found by all of it, nothing is too long, and folding is done when it is done once.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"Anna Schmidt", "王小明", "\xff\x00 a", strings.Repeat("é", 600), strings.Repeat("a b ", 100), "İ ß ﬃ ǅ"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		folded := words.Fold(name)
		require.True(t, utf8.ValidString(folded))
		require.LessOrEqual(t, utf8.RuneCountInString(folded), 256)
		require.NotContains(t, folded, "\x00")
		tokens := words.Tokens(folded)
		require.LessOrEqual(t, len(tokens), 64)
		for _, token := range tokens {
			require.LessOrEqual(t, utf8.RuneCountInString(token), 64)
			require.NotContains(t, token, " ")
		}
		if len(tokens) == 64 {
			return // what is behind is not found
		}
		for _, word := range words.Split(folded) {
			require.True(t, slices.ContainsFunc(tokens, func(token string) bool { return strings.HasPrefix(token, word) }), "%q of %q", word, folded)
		}
	})
}
