package pushrules

import (
	"strings"
	"sync"

	"hongyan/matrix"
	"hongyan/matrix/internal/glob"
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

// Evaluator is a user's rules, ready to be evaluated. It does not change and may be shared. Of a
// user who changed nothing it takes less than 300 bytes.
type Evaluator struct {
	user  matrix.UserID
	lower string // the user id in lower case
	json  []byte // the user id as JSON
	name  string // the local part in lower case

	own        ruleLists
	rooms      map[matrix.RoomID]*compiled
	senders    map[matrix.UserID]*compiled
	predefined *ruleLists
}

// ruleLists are enabled rules of the kinds that are tried one after the other.
type ruleLists struct {
	master, override, content, underride []compiled
}

// compiled is an enabled rule.
type compiled struct {
	conditions []condition
	legacy     bool  // only for events without m.mentions
	invite     bool  // the predefined rule for invites of the user
	fact       Facts // of a predefined rule that depends on no user, that its conditions hold
	result     Result
}

// Compile prepares the enabled rules of a user.
func (r Rules) Compile(user matrix.UserID) *Evaluator {
	e := &Evaluator{
		user: user, lower: strings.ToLower(string(user)), json: []byte(quote(string(user))), name: strings.ToLower(user.Localpart()),
		own: ruleLists{
			override: compileAll(r.Override, conditionsOf), content: compileAll(r.Content, patternOf),
			underride: compileAll(r.Underride, conditionsOf),
		},
		rooms: compileByID[matrix.RoomID](r.Room), senders: compileByID[matrix.UserID](r.Sender),
		predefined: unchanged(),
	}
	if len(r.Changed) > 0 {
		e.predefined = r.compilePredefined()
	}
	return e
}

// unchanged are the predefined rules as they are for everybody who changed none.
var unchanged = sync.OnceValue(Rules{}.compilePredefined)

// compilePredefined prepares the predefined rules with a user's changes, for any user id.
func (r Rules) compilePredefined() *ruleLists {
	return &ruleLists{
		master:    compileAll(r.changed([]Rule{defaultMaster()}), conditionsOf),
		override:  compileAll(r.changed(defaultOverride("")), conditionsOf),
		content:   compileAll(r.changed(defaultContent("")), patternOf),
		underride: compileAll(r.changed(defaultUnderride()), conditionsOf),
	}
}

func compileAll(rules []Rule, conditions func(Rule) []condition) []compiled {
	var list []compiled
	for _, rule := range rules {
		if rule.Enabled {
			c := compiled{conditions: conditions(rule), result: resultOf(rule)}
			if rule.Default {
				c.legacy, c.invite, c.fact = isLegacy(rule.RuleID), rule.RuleID == ruleInviteForMe, factOf(rule.RuleID)
			}
			list = append(list, c)
		}
	}
	return list
}

// conditionsOf compiles the conditions of an override or underride rule.
func conditionsOf(rule Rule) []condition {
	list := make([]condition, len(rule.Conditions))
	for i, raw := range rule.Conditions {
		list[i] = compileCondition(raw)
	}
	if rule.Default {
		switch last := len(list) - 1; rule.RuleID {
		case ruleInviteForMe:
			list[last].kind = matchesUser
		case ruleIsUserMention:
			list[last].kind = containsUser
		}
	}
	return list
}

// patternOf compiles the condition that a content rule implies.
func patternOf(rule Rule) []condition {
	if rule.Default && rule.RuleID == ruleContainsUserName {
		return []condition{{kind: bodyHasUserName, slot: slotBody}}
	}
	return []condition{{kind: matchesBody, slot: slotBody, glob: glob.New(rule.Pattern)}}
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
	pre := e.predefined
	for _, rules := range [...][]compiled{pre.master, e.own.override, pre.override, e.own.content, pre.content} {
		if c := e.firstMatch(rules, p, displayName); c != nil {
			return c.result
		}
	}
	if c, ok := e.rooms[p.event.RoomID()]; ok {
		return c.result
	}
	if c, ok := e.senders[p.event.Sender()]; ok {
		return c.result
	}
	for _, rules := range [...][]compiled{e.own.underride, pre.underride} {
		if c := e.firstMatch(rules, p, displayName); c != nil {
			return c.result
		}
	}
	return Result{}
}

func (e *Evaluator) firstMatch(rules []compiled, p *Prepared, displayName string) *compiled {
	for i := range rules {
		if e.matches(&rules[i], p, displayName) {
			return &rules[i]
		}
	}
	return nil
}

func (e *Evaluator) matches(c *compiled, p *Prepared, displayName string) bool {
	if c.legacy && p.hasMentions {
		return false
	}
	for i := range c.conditions {
		if !c.conditions[i].holds(p, e, displayName) {
			return false
		}
	}
	return true
}
