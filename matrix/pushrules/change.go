package pushrules

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/internal/rawjson"
)

// Put adds a rule or changes one, from the body of PUT /pushrules/global/{kind}/{ruleId}. before
// and after name a rule of the user's to which it is placed, "" for none; before wins. A new rule
// without them becomes the most important one, a known one keeps its place.
//
// A body of a wrong shape is M_BAD_JSON (M_NOT_JSON if it is none), an id that may not be used
// M_INVALID_PARAM, and an unknown before or after M_UNKNOWN.
func (r Rules) Put(kind Kind, ruleID string, body []byte, before, after string) (Rules, error) {
	if err := checkRuleID(kind, ruleID); err != nil {
		return r, err
	}
	rule, err := parseRule(kind, ruleID, body)
	if err != nil {
		return r, err
	}
	list := r.list(kind)
	rules := slices.Clone(*list)
	old := indexOf(rules, ruleID)
	if old >= 0 {
		rule.Enabled = rules[old].Enabled
	}
	if before == "" && after == "" && old >= 0 {
		rules[old] = rule
		*list = rules
		return r, nil
	}
	if old >= 0 {
		rules = slices.Delete(rules, old, old+1)
	}
	place, err := placeOf(rules, before, after)
	if err != nil {
		return r, err
	}
	if len(rules) >= MaxRules {
		return r, matrix.Errorf(matrix.CodeTooLarge, "You have too many push rules: at most %d of a kind.", MaxRules)
	}
	*list = slices.Insert(rules, place, rule)
	return r, nil
}

// Delete removes a rule of the user's. A predefined one cannot be deleted: M_INVALID_PARAM. One
// that does not exist is M_NOT_FOUND.
func (r Rules) Delete(kind Kind, ruleID string) (Rules, error) {
	if _, ok := predefinedKind(ruleID); ok {
		return r, invalidRule("a predefined rule cannot be deleted, only disabled.")
	}
	list := r.list(kind)
	i := indexOf(*list, ruleID)
	if i < 0 {
		return r, notFound()
	}
	*list = slices.Delete(slices.Clone(*list), i, i+1)
	return r, nil
}

// SetEnabled enables or disables a rule, a predefined one too; M_NOT_FOUND if there is none.
func (r Rules) SetEnabled(kind Kind, ruleID string, enabled bool) (Rules, error) {
	return r.modify(kind, ruleID, func(rule *Rule) { rule.Enabled = enabled }, func(c *Change) { c.Enabled = &enabled })
}

// SetActions replaces the actions of a rule, a predefined one too; M_NOT_FOUND if there is none.
func (r Rules) SetActions(kind Kind, ruleID string, actions []Action) (Rules, error) {
	if actions == nil {
		actions = []Action{}
	}
	return r.modify(kind, ruleID, func(rule *Rule) { rule.Actions = actions }, func(c *Change) { c.Actions = actions })
}

// modify changes one rule: the user's own with own, a predefined one with other.
func (r Rules) modify(kind Kind, ruleID string, own func(*Rule), other func(*Change)) (Rules, error) {
	if isPredefined(ruleID) {
		if k, ok := predefinedKind(ruleID); !ok || k != kind {
			return r, notFound()
		}
		r.Changed = maps.Clone(r.Changed)
		if r.Changed == nil {
			r.Changed = map[string]Change{}
		}
		change := r.Changed[ruleID]
		other(&change)
		r.Changed[ruleID] = change
		return r, nil
	}
	list := r.list(kind)
	i := indexOf(*list, ruleID)
	if i < 0 {
		return r, notFound()
	}
	*list = slices.Clone(*list)
	own(&(*list)[i])
	return r, nil
}

func indexOf(rules []Rule, ruleID string) int {
	return slices.IndexFunc(rules, func(r Rule) bool { return r.RuleID == ruleID })
}

// placeOf finds the index for a rule to be inserted at.
func placeOf(rules []Rule, before, after string) (int, error) {
	name, offset := before, 0
	if before == "" {
		name, offset = after, 1
	}
	if name == "" {
		return 0, nil
	}
	i := indexOf(rules, name)
	if i < 0 {
		return 0, matrix.Errorf(matrix.CodeUnknown, "before/after rule not found: %s", name)
	}
	return i + offset, nil
}

func checkRuleID(kind Kind, ruleID string) error {
	switch {
	case ruleID == "" || len(ruleID) > MaxRuleID:
		return invalidRule("its id is empty or too long.")
	case !utf8.ValidString(ruleID) || strings.IndexByte(ruleID, 0) >= 0:
		return invalidRule("its id is not valid UTF-8, or has a NUL character.")
	case isPredefined(ruleID):
		return invalidRule("its id must not begin with a dot, which only predefined rules do.")
	case strings.ContainsAny(ruleID, `/\`):
		return invalidRule("its id must not contain slashes or backslashes.")
	}
	var err error
	switch kind {
	case Room:
		_, err = matrix.ParseRoomID(ruleID)
	case Sender:
		_, err = matrix.ParseUserID(ruleID)
	}
	return err
}

func parseRule(kind Kind, ruleID string, body []byte) (Rule, error) {
	rule := Rule{RuleID: ruleID, Enabled: true}
	body, err := canonicaljson.Normalize(body)
	if err != nil {
		return rule, err
	}
	if !rawjson.IsObject(body) {
		return rule, badRule("it must be an object.")
	}
	if rule.Actions, err = actionsIn(body); err != nil {
		return rule, err
	}
	switch kind {
	case Override, Underride:
		rule.Conditions, err = parseConditions(rawjson.Get(body, "conditions"))
	case Content:
		rule.Pattern, err = parsePattern(rawjson.Get(body, "pattern"))
	}
	return rule, err
}

func parsePattern(raw []byte) (string, error) {
	pattern, ok := rawjson.String(raw)
	switch {
	case raw == nil:
		return "", matrix.NewError(matrix.CodeMissingParam, "The push rule is invalid: a content rule needs a pattern.")
	case !ok:
		return "", badRule("its pattern must be a string.")
	case len(pattern) > MaxPattern:
		return "", badRule("its pattern is too long.")
	}
	return pattern, nil
}

func parseConditions(raw []byte) ([]json.RawMessage, error) {
	list := []json.RawMessage{}
	if len(raw) == 0 || string(raw) == "null" {
		return list, nil
	}
	if !rawjson.IsArray(raw) {
		return nil, badRule("conditions must be a list.")
	}
	for it := rawjson.Array(raw); it.Next(); {
		switch {
		case !rawjson.IsString(rawjson.Get(it.Value, "kind")):
			return nil, badRule("a condition must be an object with a kind.")
		case len(rawjson.Get(it.Value, "pattern")) > MaxPattern:
			return nil, badRule("a pattern is too long.")
		case len(list) == MaxConditions:
			return nil, badRule("it has too many conditions.")
		}
		list = append(list, json.RawMessage(it.Value))
	}
	return list, nil
}
