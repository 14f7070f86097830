package words

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

const (
	// maxRunes is how much of a token is kept, in characters: longer words are told apart by their beginning.
	maxRunes = 64
	// maxTokens is how many tokens of one text are kept.
	maxTokens = 64
	// maxFolded is how much of a folded text is kept, in characters. An index has room for it.
	maxFolded = 256
)

// Fold returns a text as it is compared, on one line.
func Fold(text string) string {
	text = norm.NFKD.String(text)
	text = strings.Map(func(r rune) rune {
		switch {
		case r >= 0x300 && r <= 0x36f: // accents, of which Latin, Greek and Cyrillic do without; other scripts' marks are letters
			return -1
		case r == unicode.ReplacementChar, unicode.Is(unicode.Cf, r): // nothing to be seen
			return -1
		case unicode.IsControl(r), unicode.IsSpace(r):
			return ' '
		case r == '\u2018', r == '\u2019', r == '\u02bc': // as phones write apostrophes
			return '\''
		}
		return r
	}, text)
	text = norm.NFKC.String(cases.Fold().String(text))
	return cutAt(strings.Join(strings.Fields(text), " "), maxFolded)
}

// Cut shortens a token to what is kept of it.
func Cut(token string) string { return cutAt(token, maxRunes) }

// cutAt shortens a text to so many characters.
func cutAt(text string, runes int) string {
	for i := range text {
		if runes--; runes < 0 {
			return text[:i]
		}
	}
	return text
}

// everywhere are the scripts in which something begins with every character.
var everywhere = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo, unicode.Yi,
	unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Tibetan,
}

// begins tells whether something begins with a character after another one, 0 at the beginning.
func begins(before, r rune) bool {
	if before == 0 {
		return true
	}
	if unicode.IsMark(r) || !isWord(r) {
		return false
	}
	return !isWord(before) || unicode.In(r, everywhere...) || unicode.In(before, everywhere...)
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }

// Tokens returns what texts, which are folded, are found by: whatever begins in them, to the next space. None comes twice.
func Tokens(folded ...string) []string {
	var tokens []string
	for _, text := range folded {
		tokens = append(tokens, tokensOf(text)...)
	}
	slices.Sort(tokens)
	return slices.Compact(tokens)
}

func tokensOf(text string) []string {
	var tokens []string
	for field := range strings.FieldsSeq(text) {
		before := rune(0)
		for i, r := range field {
			if begins(before, r) && len(tokens) < maxTokens {
				if token := Cut(field[i:]); !slices.Contains(tokens, token) {
					tokens = append(tokens, token)
				}
			}
			before = r
		}
	}
	return tokens
}

// Split returns the words of what is searched for, which is folded, as tokens begin with them: none twice, and none that is the
// beginning of another.
func Split(folded string) []string {
	all := strings.Fields(folded)
	for i, w := range all {
		// Names are found by what begins in them, which no punctuation does unless there is nothing else.
		if bare := strings.TrimFunc(w, func(r rune) bool { return !isWord(r) }); bare != "" {
			w = bare
		}
		all[i] = Cut(w)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	words := all[:0:0]
	for i, w := range all {
		if i+1 == len(all) || !strings.HasPrefix(all[i+1], w) {
			words = append(words, w)
		}
	}
	return words
}
