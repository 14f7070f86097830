package canonicaljson

import (
	"strconv"
	"unicode/utf8"
)

// The Append functions build canonical objects by hand, without a map or reflection:
//
//	b := append(dst, '{')
//	b = canonicaljson.AppendKey(b, "body")
//	b = canonicaljson.AppendString(b, text)
//	b = canonicaljson.AppendKey(b, "msgtype")
//	b = canonicaljson.AppendString(b, "m.text")
//	b = append(b, '}')
//
// The caller gives the keys in order and each once.

// AppendKey appends a key and its colon, with the comma before it unless it is the object's first.
func AppendKey(dst []byte, key string) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' {
		dst = append(dst, ',')
	}
	return append(AppendString(dst, key), ':')
}

// AppendString appends a string. Bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	run := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = appendASCII(append(dst, s[run:i]...), c)
			i++
			run = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = utf8.AppendRune(append(dst, s[run:i]...), utf8.RuneError)
			run = i + 1
		}
		i += size
	}
	dst = append(dst, s[run:]...)
	return append(dst, '"')
}

// AppendInt appends an integer. It must lie within MinInt and MaxInt to be canonical.
func AppendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// AppendBool appends true or false.
func AppendBool(dst []byte, b bool) []byte { return strconv.AppendBool(dst, b) }

// AppendStrings appends an array of strings; nil is the empty array.
func AppendStrings[S ~string](dst []byte, list []S) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, string(s))
	}
	return append(dst, ']')
}
