package rawjson

// SplitPath splits a dot-separated property path into its keys (appendices, "Dot-separated
// property paths"): \. is a dot and \\ a backslash within a key.
func SplitPath(path string) []string {
	var keys []string
	key := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '.':
			keys = append(keys, string(key))
			key = key[:0]
		case c == '\\' && i+1 < len(path) && (path[i+1] == '.' || path[i+1] == '\\'):
			i++
			key = append(key, path[i])
		default:
			key = append(key, c)
		}
	}
	return append(keys, string(key))
}

// GetPath returns the value at a path of keys, nil if there is none.
func GetPath(raw []byte, path []string) []byte {
	for _, key := range path {
		if raw = find(raw, key); raw == nil {
			return nil
		}
	}
	return raw
}

// find is Get for any key.
func find(raw []byte, key string) []byte {
	for it := Object(raw); it.Next(); {
		if Key(it.Key) == key {
			return it.Value
		}
	}
	return nil
}
