package pushrules

// MatchAll and MatchWords open globs to the tests.
func MatchAll(pattern, s string) bool {
	g := newGlob(pattern)
	return g.matchAll(s)
}

func MatchWords(pattern, s string) bool {
	g := newGlob(pattern)
	return g.matchWords(s)
}

var (
	ContainsWord = containsWord
	IsBoundary   = isBoundary
)
