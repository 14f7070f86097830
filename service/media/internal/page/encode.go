package page

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// first are the properties that clients show, the ones that they miss most first.
var first = []string{
	"og:image", "og:image:type", "og:image:width", "og:image:height", "matrix:image:size", "og:title", "og:description", "og:url",
	"og:site_name", "og:type",
}

// Encode makes JSON of properties, of up to most bytes: those that do not fit are left out. What pages say is not escaped beyond what
// JSON needs, or a page of angle brackets would be kept at six times its size.
func Encode(props map[string]any, most int) (string, error) {
	var rest []string
	for _, name := range slices.Sorted(maps.Keys(props)) {
		if !slices.Contains(first, name) {
			rest = append(rest, name)
		}
	}
	out := []byte{'{'}
	for _, name := range slices.Concat(first, rest) {
		value, there := props[name]
		if !there {
			continue
		}
		var b bytes.Buffer
		if len(out) > 1 {
			b.WriteByte(',')
		}
		for i, part := range []any{name, value} {
			if i > 0 {
				b.WriteByte(':')
			}
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			if err := e.Encode(part); err != nil {
				return "", fmt.Errorf("encode %s: %w", name, err)
			}
			b.Truncate(b.Len() - 1) // the line's end
		}
		if len(out)+b.Len()+1 <= most {
			out = append(out, b.Bytes()...)
		}
	}
	return string(append(out, '}')), nil
}
