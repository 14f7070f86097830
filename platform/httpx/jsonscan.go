package httpx

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"hongyan/matrix"
)

// MaxDepth is how deep objects and arrays may lie within each other in a body.
const MaxDepth = 100

// checkObject checks that body is one JSON object of valid UTF-8 that is nested no deeper than MaxDepth.
func checkObject(body []byte) error {
	if !utf8.Valid(body) {
		return matrix.NewError(matrix.CodeNotJSON, "The body is not valid UTF-8.")
	}
	if depth(body) > MaxDepth {
		return matrix.Errorf(matrix.CodeBadJSON, "The body is nested deeper than %d levels.", MaxDepth)
	}
	if !json.Valid(body) {
		return matrix.NewError(matrix.CodeNotJSON, "The body is not JSON.")
	}
	if loneSurrogate(body) {
		return matrix.NewError(matrix.CodeNotJSON, "The body has half of a surrogate pair, which is no character.")
	}
	if body[0] != '{' {
		return matrix.NewError(matrix.CodeBadJSON, "The body must be a JSON object.")
	}
	return nil
}

// loneSurrogate reports whether valid JSON escapes half of a UTF-16 surrogate pair without the other half (RFC 8259,
// section 8.2). encoding/json would take each for U+FFFD, so that different texts became equal.
func loneSurrogate(body []byte) bool {
	for i := bytes.IndexByte(body, '\\'); i >= 0; {
		if body[i+1] == 'u' {
			switch r := escaped(body[i:]); {
			case r >= 0xDC00 && r <= 0xDFFF:
				return true
			case r >= 0xD800 && r <= 0xDBFF:
				if low := escaped(body[i+6:]); low < 0xDC00 || low > 0xDFFF {
					return true
				}
				i += 6
			}
		}
		i += 2
		next := bytes.IndexByte(body[i:], '\\')
		if next < 0 {
			return false
		}
		i += next
	}
	return false
}

// escaped returns the code unit of the escape \uXXXX that valid JSON goes on with, or 0 where it does not.
func escaped(rest []byte) rune {
	if len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' {
		return 0
	}
	var unit rune
	for _, c := range rest[2:6] {
		digit := rune(c | 0x20) // letters in lower case; digits are so already
		if digit >= 'a' {
			digit -= 'a' - 10
		} else {
			digit -= '0'
		}
		unit = unit<<4 | digit
	}
	return unit
}

// depth returns how deep brackets lie within each other, outside of strings.
func depth(body []byte) int {
	deepest, now := 0, 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '{', '[':
			now++
			deepest = max(deepest, now)
		case '}', ']':
			now--
		case '"':
			for i++; i < len(body) && body[i] != '"'; i++ {
				if body[i] == '\\' {
					i++
				}
			}
		}
	}
	return deepest
}
