package room

import "encoding/json"

// json adds a value that always encodes.
func (b *body) json(name string, value any) {
	b.field(name)
	raw, err := json.Marshal(value)
	if err != nil && b.err == nil {
		b.err = err
	}
	b.Write(raw)
}

// object adds another body, which it ends.
func (b *body) object(name string, other *body) {
	b.field(name)
	if other.err != nil && b.err == nil {
		b.err = other.err
	}
	b.Write(other.Bytes())
	b.WriteByte('}')
}
