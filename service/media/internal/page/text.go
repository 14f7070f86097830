package page

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes one line of text, of valid UTF-8 without what controls a terminal or the direction of other text, up to most characters.
func clean(text string, most int) string {
	var out strings.Builder
	n, space := 0, false
	for _, c := range text {
		switch {
		case unicode.IsSpace(c), c == '\u200b', c == '\ufeff':
			space = out.Len() > 0
			continue
		case c == utf8.RuneError, unicode.IsControl(c), isDirection(c):
			continue
		}
		if space && n < most {
			out.WriteByte(' ')
			n++
		}
		space = false
		if n >= most {
			break
		}
		out.WriteRune(c)
		n++
	}
	return strings.TrimRight(out.String(), " ")
}

// Clean makes text of a stranger's one that may be shown.
func Clean(text string) string { return cut(clean(text, maxText), maxTitle) }

// isDirection tells whether a character turns the direction of what follows, even behind its text.
func isDirection(c rune) bool {
	return '\u202a' <= c && c <= '\u202e' || '\u2066' <= c && c <= '\u2069'
}

// cut shortens clean text to most characters, at a word if there is one near.
func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	runes := []rune(text)[:most-1]
	short := string(runes)
	if at := strings.LastIndexByte(short, ' '); at > len(short)*3/4 {
		short = short[:at]
	}
	return short + "…"
}

// gather collects text up to a bound, and one space for all there is between two pieces.
type gather struct {
	strings.Builder
	most  int
	apart bool
}

func (g *gather) add(text []byte) {
	trimmed := bytes.TrimSpace(text)
	if len(trimmed) == 0 {
		g.apart = g.apart || len(text) > 0
		return
	}
	if g.Len() > 0 && (g.apart || text[0] != trimmed[0]) && g.Len() < g.most {
		g.WriteByte(' ')
	}
	g.apart = len(text) > 0 && text[len(text)-1] != trimmed[len(trimmed)-1]
	if left := g.most - g.Len(); left > 0 {
		g.Write(trimmed[:min(left, len(trimmed))])
	}
}
