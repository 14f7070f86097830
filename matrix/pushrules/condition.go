package pushrules

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/internal/glob"
	"hongyan/matrix/internal/rawjson"
)

// condition is one condition, ready to be checked.
type condition struct {
	kind  conditionKind
	slot  slot
	path  []string  // of the property, where slot is slotNone
	glob  glob.Glob // matches, matchesBody
	value []byte    // isValue, containsValue: canonical JSON
	key   string    // senderMayNotify
	count comparison
}

type conditionKind uint8

const (
	never conditionKind = iota // unknown or malformed: matches no event
	matches
	matchesBody
	isValue
	containsValue
	containsDisplayName
	memberCount
	senderMayNotify

	// Those of predefined rules that depend on the user, so that the rules are compiled once for all.
	matchesUser
	containsUser
	bodyHasUserName
)

func compileCondition(raw json.RawMessage) condition {
	text := func(key string) (string, bool) { return rawjson.String(rawjson.Get(raw, key)) }
	kind, _ := text("kind")
	key, hasKey := text("key")
	c := condition{key: key, path: rawjson.SplitPath(key)}
	c.slot = slotOf(c.path)
	switch kind {
	case "event_match":
		pattern, ok := text("pattern")
		if !hasKey || !ok {
			return condition{}
		}
		c.kind, c.glob = matches, glob.New(pattern)
		if c.slot == slotBody {
			c.kind = matchesBody
		}
	case "event_property_is", "event_property_contains":
		value, err := canonicaljson.Canonicalize(rawjson.Get(raw, "value"))
		if !hasKey || err != nil || rawjson.IsObject(value) || rawjson.IsArray(value) {
			return condition{}
		}
		c.kind, c.value = isValue, value
		if kind == "event_property_contains" {
			c.kind = containsValue
		}
	case "contains_display_name":
		c.kind = containsDisplayName
	case "room_member_count":
		is, _ := text("is")
		var ok bool
		if c.count, ok = parseComparison(is); !ok {
			return condition{}
		}
		c.kind = memberCount
	case "sender_notification_permission":
		if !hasKey {
			return condition{}
		}
		c.kind = senderMayNotify
	}
	return c
}

// holds checks the condition for the user of the evaluator. displayName is theirs in the room.
func (c *condition) holds(p *Prepared, e *Evaluator, displayName string) bool {
	switch c.kind {
	case matches:
		v := p.value(c.slot, c.path)
		return v.isText && c.glob.MatchAll(v.lower)
	case matchesBody:
		v := &p.values[slotBody]
		return v.isText && c.glob.MatchWords(v.lower)
	case isValue:
		return bytes.Equal(p.value(c.slot, c.path).json(), c.value)
	case containsValue:
		return hasElement(p.value(c.slot, c.path).raw, c.value)
	case containsDisplayName:
		v := &p.values[slotBody]
		return displayName != "" && v.isText && glob.ContainsWord(v.lower, strings.ToLower(displayName))
	case memberCount:
		return c.count.holds(p.room.Members)
	case senderMayNotify:
		return p.room.SenderCanNotify != nil && p.room.SenderCanNotify(c.key)
	case matchesUser:
		v := p.value(c.slot, c.path)
		return v.isText && v.lower == e.lower
	case containsUser:
		return hasElement(p.value(c.slot, c.path).raw, e.json)
	case bodyHasUserName:
		v := &p.values[slotBody]
		return v.isText && e.name != "" && glob.ContainsWord(v.lower, e.name)
	}
	return false
}

// hasElement tells whether a JSON array has an element.
func hasElement(array, element []byte) bool {
	for it := rawjson.Array(array); it.Next(); {
		if bytes.Equal(it.Value, element) {
			return true
		}
	}
	return false
}

// comparison is the parameter of room_member_count.
type comparison struct {
	op string
	n  int
}

func parseComparison(s string) (comparison, bool) {
	digits := strings.TrimLeft(s, "=<>")
	c := comparison{op: s[:len(s)-len(digits)]}
	switch c.op {
	case "", "==", "<", ">", ">=", "<=":
	default:
		return c, false
	}
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return c, false
	}
	n, err := strconv.Atoi(digits)
	c.n = n
	return c, err == nil
}

func (c comparison) holds(n int) bool {
	switch c.op {
	case "<":
		return n < c.n
	case ">":
		return n > c.n
	case "<=":
		return n <= c.n
	case ">=":
		return n >= c.n
	default:
		return n == c.n
	}
}
