package live

import (
	"github.com/tidwall/gjson"

	"hongyan/matrix/event"
)

// contentLength is the length of the content object of an event in the format of clients, which stands first.
func contentLength(client []byte) int {
	depth, inString := 0, false
	for i := contentAt; i < len(client); i++ {
		switch c := client[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				return i + 1 - contentAt
			}
		}
	}
	return 0
}

// membershipOf reads the membership from the content of a member event; leave where there is none.
func membershipOf(content []byte) event.Membership {
	if len(content) == 0 {
		return event.Leave
	}
	if m := event.Membership(gjson.GetBytes(content, "membership").Str); m.Valid() {
		return m
	}
	return event.Leave
}
