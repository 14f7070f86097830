package httpx

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"

	"hongyan/matrix"
)

// normalize rewrites a body so that encoding/json reads it as Matrix means it. On its own encoding/json merges the
// values of a key that is given twice, and takes "BODY" for "body". body has passed checkObject; v is what it will be
// decoded into.
func normalize(body []byte, v any) ([]byte, error) {
	n := normalizer{in: body, out: make([]byte, 0, len(body))}
	n.value(nil)
	if n.nul {
		return nil, matrix.NewError(matrix.CodeBadJSON, "The NUL character is not allowed.")
	}
	if !n.odd {
		return n.out, nil
	}
	// Some key is not plain lower case: walk once more along the Go types, dropping keys that encoding/json would
	// take for others.
	again := normalizer{in: n.out, out: make([]byte, 0, len(n.out))}
	again.value(reflect.TypeOf(v))
	return again.out, nil
}

// normalizer copies valid JSON from in to out, without white space and without the members that do not count.
type normalizer struct {
	in  []byte
	pos int
	out []byte
	// odd is set by a key that encoding/json may take for another one.
	odd bool
	// nul is set by an escaped NUL character. (A bare one is not valid JSON.)
	nul bool
}

// member is where a member of an object lies in out, comma included.
type member struct {
	key   string
	start int
	dead  bool
}

func (n *normalizer) space() {
	for n.pos < len(n.in) {
		switch n.in[n.pos] {
		case ' ', '\t', '\r', '\n':
			n.pos++
		default:
			return
		}
	}
}

// value copies the value at pos, which will be decoded into a t; nil is unknown.
func (n *normalizer) value(t reflect.Type) {
	n.space()
	switch n.in[n.pos] {
	case '{':
		n.object(t)
	case '[':
		n.array(t)
	case '"':
		n.out = append(n.out, n.text()...)
	default:
		start := n.pos
		for n.pos < len(n.in) && !bytes.ContainsRune([]byte(",]} \t\r\n"), rune(n.in[n.pos])) {
			n.pos++
		}
		n.out = append(n.out, n.in[start:n.pos]...)
	}
}

// text returns the string at pos, quotes included.
func (n *normalizer) text() []byte {
	start := n.pos
	for n.pos++; n.in[n.pos] != '"'; n.pos++ {
		if n.in[n.pos] == '\\' {
			if bytes.HasPrefix(n.in[n.pos:], []byte(`\u0000`)) {
				n.nul = true
			}
			n.pos++
		}
	}
	n.pos++
	return n.in[start:n.pos]
}

func (n *normalizer) array(t reflect.Type) {
	t = plain(t)
	var elem reflect.Type
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		elem = t.Elem()
	}
	n.pos++
	n.out = append(n.out, '[')
	for first := true; ; first = false {
		if n.end(']') {
			return
		}
		if !first {
			n.out = append(n.out, ',')
		}
		n.value(elem)
	}
}

// end skips white space and a comma; at the closing bracket it copies that and returns true.
func (n *normalizer) end(bracket byte) bool {
	n.space()
	if n.in[n.pos] == ',' {
		n.pos++
		n.space()
	}
	if n.in[n.pos] != bracket {
		return false
	}
	n.pos++
	n.out = append(n.out, bracket)
	return true
}

func (n *normalizer) object(t reflect.Type) {
	t = plain(t)
	n.pos++
	n.out = append(n.out, '{')
	var members []member
	var index map[string]int
	dead := false
	for {
		mark := len(n.out)
		if n.end('}') {
			break
		}
		raw := n.text()
		key := keyOf(raw)
		if isOdd(raw) {
			n.odd = true
		}
		n.out = append(append(n.out, raw...), ':')
		n.space()
		n.pos++ // the colon
		valueType, drop := fieldType(t, key)
		n.value(valueType)
		n.out = append(n.out, ',')
		if len(members) == 16 {
			index = indexOf(members)
		}
		if old := find(members, index, key); old >= 0 {
			members[old].dead, dead = true, true
		}
		if index != nil {
			index[key] = len(members)
		}
		members = append(members, member{key: key, start: mark, dead: drop})
		dead = dead || drop
	}
	n.close(members, dead)
}

// close finishes an object of which all members were copied, each with a comma behind it.
func (n *normalizer) close(members []member, dead bool) {
	if len(members) == 0 {
		return
	}
	last := len(n.out) - 1 // the bracket
	if !dead {
		n.out = append(n.out[:last-1], '}')
		return
	}
	to := members[0].start
	empty := true
	for i, m := range members {
		if m.dead {
			continue
		}
		stop := last
		if i+1 < len(members) {
			stop = members[i+1].start
		}
		to += copy(n.out[to:], n.out[m.start:stop])
		empty = false
	}
	if !empty {
		to-- // the comma
	}
	n.out = append(n.out[:to], '}')
}

func indexOf(members []member) map[string]int {
	index := make(map[string]int, 2*len(members))
	for i, m := range members {
		index[m.key] = i
	}
	return index
}

// find returns the last member with a key, or -1. index is nil while the members are few.
func find(members []member, index map[string]int, key string) int {
	if index != nil {
		if i, ok := index[key]; ok {
			return i
		}
		return -1
	}
	for i := len(members) - 1; i >= 0; i-- {
		if members[i].key == key {
			return i
		}
	}
	return -1
}

func keyOf(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var key string
	_ = json.Unmarshal(raw, &key) // it is valid
	return key
}

// isOdd returns whether a key could equal another one but for its case.
func isOdd(raw []byte) bool {
	for _, c := range raw {
		if 'A' <= c && c <= 'Z' || c >= 0x80 || c == '\\' {
			return true
		}
	}
	return false
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// plain follows pointers; nil is a type that decodes itself or says nothing.
func plain(t reflect.Type) reflect.Type {
	for t != nil {
		if t.Implements(unmarshaler) || reflect.PointerTo(t).Implements(unmarshaler) {
			return nil
		}
		if t.Kind() != reflect.Pointer {
			return t
		}
		t = t.Elem()
	}
	return nil
}

// fieldType returns what a key's value is decoded into in a t, and whether encoding/json would take the key for
// another one.
func fieldType(t reflect.Type, key string) (value reflect.Type, drop bool) {
	if t == nil {
		return nil, false
	}
	switch t.Kind() {
	case reflect.Map:
		return t.Elem(), false
	case reflect.Struct:
	default:
		return nil, false
	}
	for _, f := range reflect.VisibleFields(t) {
		if !f.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			if f.Anonymous {
				continue
			}
			name = f.Name
		}
		if name == key {
			return f.Type, false
		}
		if strings.EqualFold(name, key) {
			drop = true
		}
	}
	return nil, drop
}
