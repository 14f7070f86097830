package rawjson

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// String returns the text of a string value; ok is false if value is another one.
func String(value []byte) (s string, ok bool) {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return "", false
	}
	inner := value[1 : len(value)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), true
	}
	if err := json.Unmarshal(value, &s); err != nil {
		return "", false
	}
	return s, true
}

// Text is String with "" for a value that is no string.
func Text(value []byte) string {
	s, _ := String(value)
	return s
}

// Key returns the text of a key as Iter.Key gives it.
func Key(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	quoted := make([]byte, 0, len(raw)+2)
	quoted = append(append(append(quoted, '"'), raw...), '"')
	return Text(quoted)
}

// Equals tells whether value is the string s.
func Equals(value []byte, s string) bool {
	if len(value) < 2 || value[0] != '"' {
		return false
	}
	inner := value[1 : len(value)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner) == s
	}
	return Text(value) == s
}

// Int returns an integer value; ok is false for a float, for one beyond 64 bits and for another value.
func Int(value []byte) (n int64, ok bool) {
	if len(value) == 0 || len(value) > 20 || value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return 0, false
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	return n, err == nil
}

// Strings returns the elements of an array that are strings; other elements are left out.
// nil if value is no array or empty.
func Strings[S ~string](value []byte) []S {
	var list []S
	for it := Array(value); it.Next(); {
		if s, ok := String(it.Value); ok {
			list = append(list, S(s))
		}
	}
	return list
}
