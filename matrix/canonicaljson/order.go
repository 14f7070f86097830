package canonicaljson

import (
	"bytes"
	"slices"
)

// insertionSortMax is up to how many members sorting by insertion is the fastest.
const insertionSortMax = 12

// reorder rewrites the members of one object, which begin at position first of out: sorted by
// key, of equal keys only the last.
func (e *encoder) reorder(first int32, ms []member) {
	e.scratch = append(e.scratch[:0], e.out[first:]...)
	out := e.out
	compare := func(a, b member) int { return compareKeys(out, a, b) }
	if len(ms) <= insertionSortMax {
		for i := 1; i < len(ms); i++ {
			for j := i; j > 0 && compare(ms[j-1], ms[j]) > 0; j-- {
				ms[j-1], ms[j] = ms[j], ms[j-1]
			}
		}
	} else {
		slices.SortStableFunc(ms, compare)
	}
	kept := ms[:0]
	for i, m := range ms {
		if i+1 == len(ms) || compare(m, ms[i+1]) != 0 {
			kept = append(kept, m)
		}
	}
	e.out = e.out[:first]
	for i, m := range kept {
		if i > 0 {
			e.out = append(e.out, ',')
		}
		e.out = append(e.out, e.scratch[m.start-first:m.end-first]...)
	}
}

// compareKeys orders two members of out by the code points of their keys. For UTF-8 that is the
// order of the bytes, once escapes are undone.
func compareKeys(out []byte, a, b member) int {
	ka, kb := out[a.start+1:a.keyEnd], out[b.start+1:b.keyEnd]
	if a.escaped {
		ka = unescape(ka)
	}
	if b.escaped {
		kb = unescape(kb)
	}
	return bytes.Compare(ka, kb)
}

// unescape undoes the canonical escapes.
func unescape(key []byte) []byte {
	out := make([]byte, 0, len(key))
	for i := 0; i < len(key); i++ {
		if key[i] != '\\' {
			out = append(out, key[i])
			continue
		}
		i++
		switch key[i] {
		case 'b':
			out = append(out, '\b')
		case 't':
			out = append(out, '\t')
		case 'n':
			out = append(out, '\n')
		case 'f':
			out = append(out, '\f')
		case 'r':
			out = append(out, '\r')
		case 'u':
			r, _ := hex4(key[i+1:])
			out = append(out, byte(r))
			i += 4
		default:
			out = append(out, key[i])
		}
	}
	return out
}
