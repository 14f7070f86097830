package pushrules

import (
	"strings"

	"hongyan/matrix"
	"hongyan/matrix/internal/rawjson"
)

// Result is what the first rule that matched says. Its zero value is: nothing happens.
type Result struct {
	// Notify says that the user is notified.
	Notify bool
	// Highlight says that the event concerns the user in particular.
	Highlight bool
	// Sound is the sound to play, "" for none.
	Sound string
	// RuleID is the rule that matched, "" for none.
	RuleID string
	// Actions are those of the rule. They must not be changed.
	Actions []Action
}

// Evaluator is a user's rules, ready to be evaluated. It does not change and may be shared.
type Evaluator struct {
	user      matrix.UserID
	before    []compiled // override and content
	rooms     map[matrix.RoomID]*compiled
	senders   map[matrix.UserID]*compiled
	underride []compiled
}

// compiled is an enabled rule.
type compiled struct {
	conditions []condition
	legacy     bool // only for events without m.mentions
	result     Result
}

// Compile prepares the enabled rules of a user.
func (r Rules) Compile(user matrix.UserID) *Evaluator {
	all := r.Ruleset(user)
	e := &Evaluator{user: user}
	e.before = appendCompiled(e.before, all.Override, conditionsOf)
	e.before = appendCompiled(e.before, all.Content, func(rule Rule) []condition {
		return []condition{{kind: matchesBody, slot: slotBody, glob: newGlob(rule.Pattern)}}
	})
	e.underride = appendCompiled(nil, all.Underride, conditionsOf)
	e.rooms = compileByID[matrix.RoomID](all.Room)
	e.senders = compileByID[matrix.UserID](all.Sender)
	return e
}

func appendCompiled(list []compiled, rules []Rule, conditions func(Rule) []condition) []compiled {
	for _, rule := range rules {
		if rule.Enabled {
			list = append(list, compiled{
				conditions: conditions(rule), legacy: rule.Default && isLegacy(rule.RuleID), result: resultOf(rule),
			})
		}
	}
	return list
}

func conditionsOf(rule Rule) []condition {
	list := make([]condition, len(rule.Conditions))
	for i, raw := range rule.Conditions {
		list[i] = compileCondition(raw)
	}
	return list
}

func compileByID[K ~string](rules []Rule) map[K]*compiled {
	var byID map[K]*compiled
	for _, rule := range rules {
		if rule.Enabled {
			if byID == nil {
				byID = map[K]*compiled{}
			}
			byID[K(rule.RuleID)] = &compiled{result: resultOf(rule)}
		}
	}
	return byID
}

func resultOf(rule Rule) Result {
	r := Result{RuleID: rule.RuleID, Actions: rule.Actions}
	for _, a := range rule.Actions {
		switch a.Tweak {
		case "":
			r.Notify = true
		case "sound":
			r.Sound = rawjson.Text(a.Value)
		case "highlight":
			r.Highlight = strings.TrimSpace(string(a.Value)) != "false"
		}
	}
	return r
}

// User is whose rules these are.
func (e *Evaluator) User() matrix.UserID { return e.user }

// Evaluate returns what the user's rules say about an event. displayName is the user's in the
// room. Nothing happens for events that the user sent.
func (e *Evaluator) Evaluate(p *Prepared, displayName string) Result {
	if p.event.Sender() == e.user {
		return Result{}
	}
	if c := firstMatch(e.before, p, displayName); c != nil {
		return c.result
	}
	if c, ok := e.rooms[p.event.RoomID()]; ok {
		return c.result
	}
	if c, ok := e.senders[p.event.Sender()]; ok {
		return c.result
	}
	if c := firstMatch(e.underride, p, displayName); c != nil {
		return c.result
	}
	return Result{}
}

func firstMatch(rules []compiled, p *Prepared, displayName string) *compiled {
	for i := range rules {
		if rules[i].matches(p, displayName) {
			return &rules[i]
		}
	}
	return nil
}

func (c *compiled) matches(p *Prepared, displayName string) bool {
	if c.legacy && p.hasMentions {
		return false
	}
	for i := range c.conditions {
		if !c.conditions[i].holds(p, displayName) {
			return false
		}
	}
	return true
}
