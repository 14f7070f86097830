package pushrules

import (
	"encoding/json"
	"slices"
	"strings"

	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/internal/rawjson"
)

// CarryRoom gives a room the user's rules for another one, which it replaces; changed is false where there are none. Each is placed
// before the one that it is made from. A rule that would have the id of another one, and what is over a limit, is left out.
func (r Rules) CarryRoom(from, to string) (carried Rules, changed bool) {
	for _, kind := range [...]Kind{Override, Room, Underride} {
		list := r.list(kind)
		rules := slices.Clone(*list)
		for i := len(rules) - 1; i >= 0; i-- {
			rule, ok := rules[i].forRoom(kind, from, to)
			if !ok || len(rules) >= MaxRules || checkRuleID(kind, rule.RuleID) != nil || indexOf(rules, rule.RuleID) >= 0 {
				continue
			}
			rules, changed = slices.Insert(rules, i, rule), true
		}
		*list = rules
	}
	return r, changed
}

// forRoom returns the rule for another room; ok is false where it is not about the room from.
func (r Rule) forRoom(kind Kind, from, to string) (rule Rule, ok bool) {
	if kind == Room {
		ok = r.RuleID == from
		r.RuleID = to
		return r, ok
	}
	r.Conditions = slices.Clone(r.Conditions)
	for i, c := range r.Conditions {
		key, _ := rawjson.String(rawjson.Get(c, "key"))
		pattern, _ := rawjson.String(rawjson.Get(c, "pattern"))
		if key == "room_id" && pattern == from && rawjson.Equals(rawjson.Get(c, "kind"), "event_match") {
			r.Conditions[i], ok = matchRoom(to), true
		}
	}
	if id := strings.ReplaceAll(r.RuleID, from, to); id != r.RuleID {
		r.RuleID = id
	} else {
		r.RuleID = to
	}
	return r, ok
}

// matchRoom is the condition that an event is in a room.
func matchRoom(id string) json.RawMessage {
	return append(canonicaljson.AppendString([]byte(`{"key":"room_id","kind":"event_match","pattern":`), id), '}')
}
