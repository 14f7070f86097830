// Package rawjson reads JSON that is known to be valid, such as canonical JSON, in place: it
// finds members and elements without decoding or copying what it passes. Text that is not valid
// ends an iteration early or gives a zero value; it never panics.
package rawjson

import "bytes"

// Iter steps over the members of an object or the elements of an array.
//
//	for it := rawjson.Object(raw); it.Next(); {
//		use(it.Key, it.Value)
//	}
type Iter struct {
	// Key is the key of the current member as it is written, between its quotes.
	Key []byte
	// Value is the current value as it is written.
	Value []byte

	buf    []byte
	pos    int
	object bool
}

// Object steps over the members of an object; over nothing if raw is not one.
func Object(raw []byte) Iter { return open(raw, '{', true) }

// Array steps over the elements of an array; over nothing if raw is not one.
func Array(raw []byte) Iter { return open(raw, '[', false) }

func open(raw []byte, bracket byte, object bool) Iter {
	pos := skipSpace(raw, 0)
	if pos >= len(raw) || raw[pos] != bracket {
		return Iter{}
	}
	return Iter{buf: raw, pos: pos + 1, object: object}
}

// Next moves to the next member or element.
func (it *Iter) Next() bool {
	pos := skipSpace(it.buf, it.pos)
	if pos < len(it.buf) && it.buf[pos] == ',' {
		pos = skipSpace(it.buf, pos+1)
	}
	if pos >= len(it.buf) || it.buf[pos] == '}' || it.buf[pos] == ']' {
		return it.stop()
	}
	if it.object {
		end := skipString(it.buf, pos)
		if end <= pos+1 {
			return it.stop()
		}
		it.Key = it.buf[pos+1 : end-1]
		pos = skipSpace(it.buf, end)
		if pos >= len(it.buf) || it.buf[pos] != ':' {
			return it.stop()
		}
		pos = skipSpace(it.buf, pos+1)
	}
	end := skipValue(it.buf, pos)
	if end <= pos {
		return it.stop()
	}
	it.Value, it.pos = it.buf[pos:end], end
	return true
}

func (it *Iter) stop() bool {
	*it = Iter{}
	return false
}

// Get returns the value of a key of an object, nil if there is none. The key must be one that
// needs no escapes.
func Get(raw []byte, key string) []byte {
	for it := Object(raw); it.Next(); {
		if string(it.Key) == key {
			return it.Value
		}
	}
	return nil
}

// IsObject tells whether the value is an object.
func IsObject(value []byte) bool { return len(value) > 0 && value[0] == '{' }

// IsArray tells whether the value is an array.
func IsArray(value []byte) bool { return len(value) > 0 && value[0] == '[' }

// IsString tells whether the value is a string.
func IsString(value []byte) bool { return len(value) > 1 && value[0] == '"' }

func skipSpace(b []byte, pos int) int {
	for pos < len(b) && (b[pos] == ' ' || b[pos] == '\n' || b[pos] == '\t' || b[pos] == '\r') {
		pos++
	}
	return pos
}

// skipString returns the position after the string that begins at pos, 0 if there is none.
func skipString(b []byte, pos int) int {
	if pos >= len(b) || b[pos] != '"' {
		return 0
	}
	for i := pos + 1; ; {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return 0
		}
		i += n
		slashes := 0
		for b[i-1-slashes] == '\\' {
			slashes++
		}
		i++
		if slashes%2 == 0 {
			return i
		}
	}
}

// skipValue returns the position after the value that begins at pos, 0 if there is none.
func skipValue(b []byte, pos int) int {
	if pos >= len(b) {
		return 0
	}
	switch b[pos] {
	case '"':
		return skipString(b, pos)
	case '{', '[':
		return skipNested(b, pos)
	}
	for i := pos; i < len(b); i++ {
		switch b[i] {
		case ',', '}', ']', ' ', '\n', '\t', '\r':
			return i
		}
	}
	return len(b)
}

func skipNested(b []byte, pos int) int {
	depth := 0
	for i := pos; i < len(b); {
		switch b[i] {
		case '"':
			if i = skipString(b, i); i == 0 {
				return 0
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return 0
}
