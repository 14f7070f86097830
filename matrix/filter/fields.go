package filter

import (
	"hongyan/matrix/internal/rawjson"
)

// fieldTree is event_fields as a tree of keys. A node without children keeps its whole value.
type fieldTree struct {
	children map[string]*fieldTree
}

// newFieldTree returns nil for no fields, which keeps everything.
func newFieldTree(fields []string) *fieldTree {
	if len(fields) == 0 {
		return nil
	}
	root := &fieldTree{children: map[string]*fieldTree{}}
	for _, field := range fields {
		root.add(rawjson.SplitPath(field))
	}
	return root
}

func (t *fieldTree) add(path []string) {
	for i, key := range path {
		child, ok := t.children[key]
		switch {
		case ok && child.children == nil:
			return // the whole value is kept already
		case i == len(path)-1:
			t.children[key] = &fieldTree{}
			return
		case !ok:
			child = &fieldTree{children: map[string]*fieldTree{}}
			t.children[key] = child
		}
		t = child
	}
}

// AppendFields appends the event with only the wanted fields; whole, where the filter wants all.
// event is an object, in any format.
func (f *Filter) AppendFields(dst, event []byte) []byte {
	if f.fields == nil {
		return append(dst, event...)
	}
	out, any := f.fields.appendObject(dst, event)
	if !any {
		return append(dst, '{', '}')
	}
	return out
}

// appendObject appends the members of object that the tree has; any is false if there are none.
func (t *fieldTree) appendObject(dst, object []byte) (out []byte, any bool) {
	out = append(dst, '{')
	for it := rawjson.Object(object); it.Next(); {
		child, ok := t.children[rawjson.Key(it.Key)]
		if !ok || child.children != nil && !rawjson.IsObject(it.Value) {
			continue
		}
		before := len(out)
		if any {
			out = append(out, ',')
		}
		out = append(out, '"')
		out = append(out, it.Key...)
		out = append(out, '"', ':')
		if child.children == nil {
			out, any = append(out, it.Value...), true
			continue
		}
		value, some := child.appendObject(out, it.Value)
		if some {
			out, any = value, true
		} else {
			out = out[:before]
		}
	}
	return append(out, '}'), any
}
