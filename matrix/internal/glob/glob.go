// Package glob matches the specification's glob-style patterns (appendices, "Glob-style matching"), in time that grows with
// pattern and text only.
package glob

import (
	"strings"
	"unicode/utf8"
)

// Glob is a pattern of the specification's glob-style matching, ready to match: * is any run of
// characters and ? any single one. It and what it is matched with are in lower case.
type Glob struct {
	// parts are what stands between the stars; one part means that there is no star.
	parts []part
}

// part is a run of characters without *.
type part struct {
	text string
	any  bool // text has ?
}

// New reads a pattern; every text is one.
func New(pattern string) Glob {
	texts := strings.Split(strings.ToLower(pattern), "*")
	g := Glob{parts: make([]part, len(texts))}
	for i, text := range texts {
		g.parts[i] = part{text: text, any: strings.IndexByte(text, '?') >= 0}
	}
	return g
}

// MatchAll tells whether the glob matches the whole of s.
func (g *Glob) MatchAll(s string) bool {
	first := &g.parts[0]
	if len(g.parts) == 1 && !first.any {
		return s == first.text
	}
	end := first.at(s, 0)
	if len(g.parts) == 1 {
		return end == len(s)
	}
	if end < 0 {
		return false
	}
	last := g.parts[len(g.parts)-1]
	for _, p := range g.parts[1 : len(g.parts)-1] {
		if _, end = p.find(s, end); end < 0 {
			return false
		}
	}
	start, ok := last.startBefore(s, len(s))
	return ok && start >= end
}

// MatchWords tells whether the glob matches some substring of s which begins and ends at a word
// boundary. An empty pattern matches nothing. The earliest match of each part leaves most to those after it, so none is undone.
func (g *Glob) MatchWords(s string) bool {
	last := len(g.parts) - 1
	if last == 0 && g.parts[0].text == "" {
		return false
	}
	for from := 0; from <= len(s); {
		start, end := g.parts[0].find(s, from)
		if end < 0 {
			return false
		}
		if IsBoundary(s, start) {
			if last > 0 {
				return g.matchRest(s, end)
			}
			if IsBoundary(s, end) {
				return true
			}
		}
		from = start + runeLen(s, start)
	}
	return false
}

// matchRest matches the parts after the first, the last one up to a word boundary.
func (g *Glob) matchRest(s string, from int) bool {
	last := len(g.parts) - 1
	for i := 1; i < last; i++ {
		if _, from = g.parts[i].find(s, from); from < 0 {
			return false
		}
	}
	for from <= len(s) {
		start, end := g.parts[last].find(s, from)
		if end < 0 {
			return false
		}
		if IsBoundary(s, end) {
			return true
		}
		from = start + runeLen(s, start)
	}
	return false
}

// at matches the part at position i and returns the position after it, -1 if it does not match.
func (p *part) at(s string, i int) int {
	if !p.any {
		if strings.HasPrefix(s[i:], p.text) {
			return i + len(p.text)
		}
		return -1
	}
	for j := 0; j < len(p.text); j++ {
		switch {
		case i >= len(s):
			return -1
		case p.text[j] == '?':
			i += runeLen(s, i)
		case p.text[j] != s[i]:
			return -1
		default:
			i++
		}
	}
	return i
}

// find matches the part at or after position from, as early as possible. end is -1 for no match.
func (p *part) find(s string, from int) (start, end int) {
	if from > len(s) {
		return 0, -1
	}
	if !p.any {
		i := strings.Index(s[from:], p.text)
		if i < 0 {
			return 0, -1
		}
		return from + i, from + i + len(p.text)
	}
	for i := from; i < len(s); i += runeLen(s, i) {
		if end := p.at(s, i); end >= 0 {
			return i, end
		}
	}
	return 0, -1
}

// startBefore finds where the part must begin to end at position end.
func (p *part) startBefore(s string, end int) (int, bool) {
	if !p.any {
		return end - len(p.text), strings.HasSuffix(s[:end], p.text)
	}
	start := end
	for range utf8.RuneCountInString(p.text) {
		if start == 0 {
			return 0, false
		}
		_, size := utf8.DecodeLastRuneInString(s[:start])
		start -= size
	}
	return start, p.at(s, start) == end
}

// IsBoundary tells whether a word begins or ends at position i, or none is there: a word is made
// of A-Z, a-z, 0-9 and _ (client-server API, "event_match").
func IsBoundary(s string, i int) bool {
	return i == 0 || i == len(s) || !IsWord(s[i-1]) || !IsWord(s[i])
}

// IsWord tells whether a character is one of a word.
func IsWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

// runeLen is the length of the character at position i, 1 at the end.
func runeLen(s string, i int) int {
	if i >= len(s) || s[i] < utf8.RuneSelf {
		return 1
	}
	_, size := utf8.DecodeRuneInString(s[i:])
	return size
}

// ContainsWord is MatchWords for a text in lower case that is no pattern.
func ContainsWord(s, word string) bool {
	for from := 0; from < len(s); {
		i := strings.Index(s[from:], word)
		if i < 0 {
			return false
		}
		i += from
		if IsBoundary(s, i) && IsBoundary(s, i+len(word)) {
			return true
		}
		from = i + runeLen(s, i)
	}
	return false
}

// Literal is the text of a glob that has no wildcards, "" otherwise.
func (g *Glob) Literal() string {
	if len(g.parts) > 1 || g.parts[0].any {
		return ""
	}
	return g.parts[0].text
}
