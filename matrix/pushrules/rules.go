package pushrules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"hongyan/matrix"
)

// Limits on what a user may store, as every rule is evaluated for every event they read.
const (
	MaxRules      = 1000 // of one kind
	MaxRuleID     = 255  // bytes
	MaxPattern    = 512  // bytes
	MaxConditions = 32
	MaxActions    = 16
)

// Rules is what is stored of a user's push rules. The zero value is that of a new user. The
// methods which change it return a changed copy and leave the receiver alone.
type Rules struct {
	Override  []Rule `json:"override,omitempty"`
	Content   []Rule `json:"content,omitempty"`
	Room      []Rule `json:"room,omitempty"`
	Sender    []Rule `json:"sender,omitempty"`
	Underride []Rule `json:"underride,omitempty"`
	// Changed is what differs of predefined rules, by rule id.
	Changed map[string]Change `json:"changed,omitempty"`
}

// Change is what a user changed of a predefined rule.
type Change struct {
	Enabled *bool `json:"enabled,omitempty"`
	// Actions replace the rule's if not nil.
	Actions []Action `json:"actions,omitzero"`
}

// Decode reads what Encode wrote; nothing is the zero value.
func Decode(stored []byte) (Rules, error) {
	var r Rules
	if len(stored) == 0 {
		return r, nil
	}
	if err := json.Unmarshal(stored, &r); err != nil {
		return Rules{}, fmt.Errorf("decode push rules: %w", err)
	}
	return r, nil
}

// Encode returns the rules for storage.
func (r Rules) Encode() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode push rules: %w", err)
	}
	return b, nil
}

// Ruleset merges the user's rules with the predefined ones, as clients read them.
func (r Rules) Ruleset(user matrix.UserID) *Ruleset {
	master := r.changed([]Rule{defaultMaster()})
	return &Ruleset{
		Override:  slices.Concat(master, r.Override, r.changed(defaultOverride(user))),
		Content:   slices.Concat(r.Content, r.changed(defaultContent(user))),
		Room:      append([]Rule{}, r.Room...),
		Sender:    append([]Rule{}, r.Sender...),
		Underride: slices.Concat(r.Underride, r.changed(defaultUnderride())),
	}
}

// Get returns one rule; M_NOT_FOUND if there is none.
func (r Rules) Get(user matrix.UserID, kind Kind, ruleID string) (Rule, error) {
	for _, rule := range r.Ruleset(user).Kind(kind) {
		if rule.RuleID == ruleID {
			return rule, nil
		}
	}
	return Rule{}, notFound()
}

// changed applies the user's changes to predefined rules, in place.
func (r Rules) changed(rules []Rule) []Rule {
	for i := range rules {
		change, ok := r.Changed[rules[i].RuleID]
		if !ok {
			continue
		}
		if change.Enabled != nil {
			rules[i].Enabled = *change.Enabled
		}
		if change.Actions != nil {
			rules[i].Actions = change.Actions
		}
	}
	return rules
}

// list returns a pointer to the user's rules of a kind.
func (r *Rules) list(kind Kind) *[]Rule {
	switch kind {
	case Override:
		return &r.Override
	case Content:
		return &r.Content
	case Room:
		return &r.Room
	case Sender:
		return &r.Sender
	default:
		return &r.Underride
	}
}

// isPredefined tells whether a rule id is reserved for predefined rules.
func isPredefined(ruleID string) bool { return strings.HasPrefix(ruleID, ".") }

// predefinedKind finds the kind of a predefined rule.
func predefinedKind(ruleID string) (Kind, bool) {
	has := func(rules []Rule) bool {
		return slices.ContainsFunc(rules, func(r Rule) bool { return r.RuleID == ruleID })
	}
	switch {
	case ruleID == RuleMaster || has(defaultOverride("")):
		return Override, true
	case has(defaultContent("")):
		return Content, true
	case has(defaultUnderride()):
		return Underride, true
	}
	return "", false
}

func notFound() error { return matrix.NewError(matrix.CodeNotFound, "The push rule was not found.") }
