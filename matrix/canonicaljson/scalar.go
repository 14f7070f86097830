package canonicaljson

import (
	"unicode/utf16"
	"unicode/utf8"

	"hongyan/matrix"
)

const hexDigits = "0123456789abcdef"

// str copies a string in its canonical form and tells whether that form has escapes.
func (e *encoder) str() (escaped bool, err error) {
	e.out = append(e.out, '"')
	i := e.pos + 1
	run := i
	for i < len(e.in) {
		c := e.in[i]
		switch {
		case c == '"':
			e.out = append(e.out, e.in[run:i]...)
			e.out = append(e.out, '"')
			e.pos = i + 1
			return escaped, nil
		case c == '\\':
			e.out = append(e.out, e.in[run:i]...)
			before := len(e.out)
			if i, err = e.escape(i); err != nil {
				return false, err
			}
			escaped = escaped || e.out[before] == '\\'
			run = i
		case c < 0x20:
			return false, notJSON(i, "a control character is not escaped")
		case c < utf8.RuneSelf:
			i++
		default:
			r, size := utf8.DecodeRune(e.in[i:])
			if r == utf8.RuneError && size == 1 {
				return false, notJSON(i, "invalid UTF-8")
			}
			i += size
		}
	}
	return false, notJSON(len(e.in), "a string is not closed")
}

// escape reads the escape at position i, writes the character and returns the position after it.
func (e *encoder) escape(i int) (int, error) {
	if i+1 >= len(e.in) {
		return 0, notJSON(i, "a string is not closed")
	}
	switch c := e.in[i+1]; c {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		e.out = append(e.out, '\\', c)
		return i + 2, nil
	case '/':
		e.out = append(e.out, '/')
		return i + 2, nil
	case 'u':
		return e.unicodeEscape(i)
	default:
		return 0, notJSON(i, "an unknown escape")
	}
}

func (e *encoder) unicodeEscape(i int) (int, error) {
	r, ok := hex4(e.in[i+2:])
	if !ok {
		return 0, notJSON(i, "an invalid \\u escape")
	}
	next := i + 6
	if utf16.IsSurrogate(r) {
		if len(e.in)-next < 6 || e.in[next] != '\\' || e.in[next+1] != 'u' {
			return 0, notJSON(i, "a lone surrogate")
		}
		low, ok := hex4(e.in[next+2:])
		if !ok {
			return 0, notJSON(next, "an invalid \\u escape")
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return 0, notJSON(i, "a lone surrogate")
		}
		next += 6
	}
	if r < utf8.RuneSelf {
		e.out = appendASCII(e.out, byte(r))
	} else {
		e.out = utf8.AppendRune(e.out, r)
	}
	return next, nil
}

// hex4 reads four hexadecimal digits.
func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// appendASCII appends one character below 0x80, escaped where it must be.
func appendASCII(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\t':
		return append(dst, '\\', 't')
	case '\n':
		return append(dst, '\\', 'n')
	case '\f':
		return append(dst, '\\', 'f')
	case '\r':
		return append(dst, '\\', 'r')
	}
	if c < 0x20 {
		return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
	return append(dst, c)
}

// number copies an integer. A fraction or an exponent, or an integer out of range, is M_BAD_JSON.
func (e *encoder) number() error {
	start := e.pos
	negative := e.in[start] == '-'
	if negative {
		e.pos++
	}
	first := e.pos
	e.digits()
	digits := e.in[first:e.pos]
	if len(digits) == 0 || len(digits) > 1 && digits[0] == '0' {
		return notJSON(start, "an invalid number")
	}
	float, err := e.floatPart(start)
	switch {
	case err != nil:
		return err
	case e.anyNumber:
		e.out = append(e.out, e.in[start:e.pos]...)
		return nil
	case float:
		return matrix.Errorf(matrix.CodeBadJSON, "The number at byte %d is not an integer: floats are not allowed.", start)
	case len(digits) > 16 || len(digits) == 16 && string(digits) > "9007199254740991":
		return matrix.Errorf(matrix.CodeBadJSON, "The number at byte %d is outside ±(2^53-1).", start)
	}
	if negative && digits[0] != '0' {
		e.out = append(e.out, '-')
	}
	e.out = append(e.out, digits...)
	return nil
}

// floatPart reads a fraction and an exponent, if any.
func (e *encoder) floatPart(start int) (found bool, err error) {
	if e.peek() == '.' {
		e.pos++
		if e.digits() == 0 {
			return false, notJSON(start, "an invalid number")
		}
		found = true
	}
	if c := e.peek(); c == 'e' || c == 'E' {
		e.pos++
		if c = e.peek(); c == '+' || c == '-' {
			e.pos++
		}
		if e.digits() == 0 {
			return false, notJSON(start, "an invalid number")
		}
		found = true
	}
	return found, nil
}

func (e *encoder) digits() (n int) {
	for e.pos < len(e.in) && e.in[e.pos] >= '0' && e.in[e.pos] <= '9' {
		e.pos++
		n++
	}
	return n
}
