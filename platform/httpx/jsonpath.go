package httpx

import (
	"reflect"
	"strings"
)

// keyPath returns a path of encoding/json's errors as clients know it: without the names of embedded structs, which are
// no keys of the body. t is what the body was decoded into.
func keyPath(t reflect.Type, path string) string {
	for t != nil && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array || t.Kind() == reflect.Map) {
		t = t.Elem()
	}
	if path == "" || t == nil || t.Kind() != reflect.Struct {
		return path
	}
	for i := range t.NumField() {
		f := t.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		embedded := key == "" && f.Anonymous
		if key == "" {
			key = f.Name
		}
		rest, ok := strings.CutPrefix(path, key)
		if !ok || rest != "" && rest[0] != '.' { // a key may have dots of its own
			continue
		}
		rest = keyPath(f.Type, strings.TrimPrefix(rest, "."))
		switch {
		case embedded:
			return rest
		case rest == "":
			return key
		}
		return key + "." + rest
	}
	return path
}
