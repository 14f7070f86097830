package canonicaljson

import (
	"hongyan/matrix"
)

// encoder reads the input once and writes the canonical form as it goes. Objects whose keys come
// unsorted or twice are put in order when they end.
type encoder struct {
	in        []byte
	pos       int
	out       []byte
	depth     int
	anyNumber bool
	members   []member // of all objects that are open, innermost last
	scratch   []byte
}

// member is one key and its value in out.
type member struct {
	start   int32 // of the key's opening quote
	keyEnd  int32 // of the key's closing quote
	end     int32 // after the value
	escaped bool  // the key has escapes, so its bytes do not sort as its code points do
}

func (e *encoder) document() error {
	e.space()
	if err := e.value(); err != nil {
		return err
	}
	e.space()
	if e.pos < len(e.in) {
		return notJSON(e.pos, "something follows the value")
	}
	return nil
}

func (e *encoder) space() {
	for e.pos < len(e.in) {
		switch e.in[e.pos] {
		case ' ', '\t', '\n', '\r':
			e.pos++
		default:
			return
		}
	}
}

// peek is the next byte, or 0 at the end.
func (e *encoder) peek() byte {
	if e.pos < len(e.in) {
		return e.in[e.pos]
	}
	return 0
}

func (e *encoder) value() error {
	switch c := e.peek(); {
	case c == '"':
		_, err := e.str()
		return err
	case c == '{':
		if err := e.enter(); err != nil {
			return err
		}
		err := e.object()
		e.depth--
		return err
	case c == '[':
		if err := e.enter(); err != nil {
			return err
		}
		err := e.array()
		e.depth--
		return err
	case c == '-' || c >= '0' && c <= '9':
		return e.number()
	case c == 't':
		return e.literal("true")
	case c == 'f':
		return e.literal("false")
	case c == 'n':
		return e.literal("null")
	case e.pos >= len(e.in):
		return notJSON(e.pos, "it ends where a value is expected")
	default:
		return notJSON(e.pos, "a value is expected")
	}
}

func (e *encoder) enter() error {
	if e.depth++; e.depth > MaxDepth {
		return matrix.Errorf(matrix.CodeBadJSON, "The JSON is nested more than %d levels deep.", MaxDepth)
	}
	return nil
}

func (e *encoder) literal(word string) error {
	if len(e.in)-e.pos < len(word) || string(e.in[e.pos:e.pos+len(word)]) != word {
		return notJSON(e.pos, "a value is expected")
	}
	e.pos += len(word)
	e.out = append(e.out, word...)
	return nil
}

func (e *encoder) array() error {
	e.pos++
	e.out = append(e.out, '[')
	e.space()
	if e.peek() == ']' {
		e.pos++
		e.out = append(e.out, ']')
		return nil
	}
	for {
		if err := e.value(); err != nil {
			return err
		}
		e.space()
		switch e.peek() {
		case ',':
			e.pos++
			e.out = append(e.out, ',')
			e.space()
		case ']':
			e.pos++
			e.out = append(e.out, ']')
			return nil
		default:
			return notJSON(e.pos, "\",\" or \"]\" is expected")
		}
	}
}

func (e *encoder) object() error {
	e.pos++
	start, base, sorted := len(e.out), len(e.members), true
	e.out = append(e.out, '{')
	e.space()
	if e.peek() == '}' {
		e.pos++
		e.out = append(e.out, '}')
		return nil
	}
	for {
		m, err := e.member()
		if err != nil {
			return err
		}
		if sorted && len(e.members) > base {
			sorted = compareKeys(e.out, e.members[len(e.members)-1], m) < 0
		}
		e.members = append(e.members, m)
		e.space()
		switch e.peek() {
		case ',':
			e.pos++
			e.out = append(e.out, ',')
			e.space()
		case '}':
			e.pos++
			if !sorted {
				e.reorder(int32(start+1), e.members[base:])
			}
			e.out = append(e.out, '}')
			e.members = e.members[:base]
			return nil
		default:
			return notJSON(e.pos, "\",\" or \"}\" is expected")
		}
	}
}

func (e *encoder) member() (m member, err error) {
	m.start = int32(len(e.out))
	if e.peek() != '"' {
		return m, notJSON(e.pos, "a key is expected")
	}
	if m.escaped, err = e.str(); err != nil {
		return m, err
	}
	m.keyEnd = int32(len(e.out) - 1)
	e.space()
	if e.peek() != ':' {
		return m, notJSON(e.pos, "\":\" is expected")
	}
	e.pos++
	e.out = append(e.out, ':')
	e.space()
	if err = e.value(); err != nil {
		return m, err
	}
	m.end = int32(len(e.out))
	return m, nil
}
