package filter

import (
	"math"

	"hongyan/matrix"
	"hongyan/matrix/internal/rawjson"
)

func isNull(v []byte) bool { return string(v) == "null" }

// object tells whether v is an object to read; null is none and no fault.
func (d *decoder) object(name string, v []byte) bool {
	if isNull(v) {
		return false
	}
	if !rawjson.IsObject(v) {
		d.fail("%q must be an object.", name)
		return false
	}
	return true
}

func (d *decoder) boolean(name string, v []byte) bool {
	b := d.optionalBoolean(name, v)
	return b != nil && *b
}

func (d *decoder) optionalBoolean(name string, v []byte) *bool {
	var b bool
	switch string(v) {
	case "null":
		return nil
	case "true":
		b = true
	case "false":
	default:
		d.fail("%q must be true or false.", name)
		return nil
	}
	return &b
}

func (d *decoder) limit(v []byte) int {
	if isNull(v) {
		return -1
	}
	n, ok := rawjson.Int(v)
	if !ok || n < 0 {
		d.fail("\"limit\" must be an integer and not negative.")
		return -1
	}
	return int(min(n, math.MaxInt32))
}

func (d *decoder) format(v []byte) Format {
	switch {
	case isNull(v), rawjson.Equals(v, string(FormatClient)):
		return FormatClient
	case rawjson.Equals(v, string(FormatFederation)):
		return FormatFederation
	}
	d.fail("\"event_format\" must be \"client\" or \"federation\".")
	return FormatClient
}

// strings reads a list; nil for null, never nil for a list.
func (d *decoder) strings(name string, v []byte) []string {
	if isNull(v) {
		return nil
	}
	if !rawjson.IsArray(v) {
		d.fail("%q must be a list of strings.", name)
		return nil
	}
	list := []string{}
	for it := rawjson.Array(v); it.Next(); {
		s, ok := rawjson.String(it.Value)
		if !ok {
			d.fail("%q must be a list of strings.", name)
			return nil
		}
		if len(list) == MaxList {
			d.fail("%q has more than %d elements.", name, MaxList)
			return nil
		}
		list = append(list, s)
	}
	return list
}

func (d *decoder) users(name string, v []byte) []string {
	list := d.strings(name, v)
	for _, id := range list {
		if _, err := matrix.ParseUserID(id); err != nil {
			d.fail("%q has something that is not a user id.", name)
			return nil
		}
	}
	return list
}

func (d *decoder) rooms(name string, v []byte) []string {
	list := d.strings(name, v)
	for _, id := range list {
		if _, err := matrix.ParseRoomID(id); err != nil {
			d.fail("%q has something that is not a room id.", name)
			return nil
		}
	}
	return list
}
