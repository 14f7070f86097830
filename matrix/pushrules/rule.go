package pushrules

import (
	"encoding/json"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/internal/rawjson"
)

// Kind is a kind of rule.
type Kind string

// The kinds, in the order in which they are evaluated.
const (
	Override  Kind = "override"
	Content   Kind = "content"
	Room      Kind = "room"
	Sender    Kind = "sender"
	Underride Kind = "underride"
)

// ParseKind checks a kind in a path; M_INVALID_PARAM for an unknown one.
func ParseKind(s string) (Kind, error) {
	switch k := Kind(s); k {
	case Override, Content, Room, Sender, Underride:
		return k, nil
	}
	return "", matrix.Errorf(matrix.CodeInvalidParam, "The kind of push rule must be override, content, room, sender or underride.")
}

// Rule is one push rule, as clients read it.
type Rule struct {
	RuleID  string `json:"rule_id"`
	Default bool   `json:"default"`
	Enabled bool   `json:"enabled"`
	// Conditions are only in override and underride rules, where they are never nil.
	Conditions []json.RawMessage `json:"conditions,omitzero"`
	// Pattern is only in content rules.
	Pattern string   `json:"pattern,omitempty"`
	Actions []Action `json:"actions"`
}

// Ruleset is all rules of a user, most important first, as clients read it.
type Ruleset struct {
	Override  []Rule `json:"override"`
	Content   []Rule `json:"content"`
	Room      []Rule `json:"room"`
	Sender    []Rule `json:"sender"`
	Underride []Rule `json:"underride"`
}

// Kind returns the rules of one kind.
func (r *Ruleset) Kind(k Kind) []Rule {
	switch k {
	case Override:
		return r.Override
	case Content:
		return r.Content
	case Room:
		return r.Room
	case Sender:
		return r.Sender
	case Underride:
		return r.Underride
	}
	return nil
}

// Global wraps the rules as GET /pushrules/ and m.push_rules have them.
func (r *Ruleset) Global() map[string]*Ruleset { return map[string]*Ruleset{"global": r} }

// Action says what happens on a match: the notification itself, or a tweak to it.
type Action struct {
	// Tweak is the name of what is set, "" for the action notify.
	Tweak string
	// Value is the tweak's value, JSON; nil for none.
	Value json.RawMessage
}

// The actions of the predefined rules.
var (
	notify       = Action{}
	soundDefault = Action{Tweak: "sound", Value: json.RawMessage(`"default"`)}
	soundRing    = Action{Tweak: "sound", Value: json.RawMessage(`"ring"`)}
	highlight    = Action{Tweak: "highlight"}
)

// MarshalJSON writes "notify" or {"set_tweak": …}.
func (a Action) MarshalJSON() ([]byte, error) {
	if a.Tweak == "" {
		return []byte(`"notify"`), nil
	}
	return json.Marshal(struct {
		SetTweak string          `json:"set_tweak"`
		Value    json.RawMessage `json:"value,omitempty"`
	}{a.Tweak, a.Value})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (a *Action) UnmarshalJSON(raw []byte) error {
	if rawjson.Equals(raw, "notify") {
		*a = Action{}
		return nil
	}
	var v struct {
		SetTweak string          `json:"set_tweak"`
		Value    json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	*a = Action{Tweak: v.SetTweak, Value: v.Value}
	return nil
}

// ParseActions reads a list of actions from valid JSON. The historical dont_notify and coalesce are dropped. A
// wrong shape is M_BAD_JSON, an unknown action M_INVALID_PARAM.
func ParseActions(raw []byte) ([]Action, error) {
	if !rawjson.IsArray(raw) {
		return nil, badRule("actions must be a list.")
	}
	actions := []Action{}
	for it := rawjson.Array(raw); it.Next(); {
		switch {
		case rawjson.Equals(it.Value, "notify"):
			actions = append(actions, notify)
		case rawjson.Equals(it.Value, "dont_notify"), rawjson.Equals(it.Value, "coalesce"):
		case rawjson.IsString(it.Value):
			return nil, invalidRule("an action is unknown.")
		default:
			tweak := rawjson.Text(rawjson.Get(it.Value, "set_tweak"))
			if tweak == "" {
				return nil, badRule("an action must be \"notify\" or an object with set_tweak.")
			}
			actions = append(actions, Action{Tweak: tweak, Value: json.RawMessage(rawjson.Get(it.Value, "value"))})
		}
		if len(actions) > MaxActions {
			return nil, badRule("it has too many actions.")
		}
	}
	return actions, nil
}

// ParseActionsBody reads the body of PUT …/actions. Its errors are those of ParseActions,
// M_MISSING_PARAM and M_NOT_JSON.
func ParseActionsBody(body []byte) ([]Action, error) {
	body, err := canonicaljson.Normalize(body)
	if err != nil {
		return nil, err
	}
	if !rawjson.IsObject(body) {
		return nil, badRule("it must be an object.")
	}
	return actionsIn(body)
}

// actionsIn reads the actions of an object; M_MISSING_PARAM if there are none.
func actionsIn(body []byte) ([]Action, error) {
	actions := rawjson.Get(body, "actions")
	if actions == nil {
		return nil, matrix.NewError(matrix.CodeMissingParam, "The push rule is invalid: actions is missing.")
	}
	return ParseActions(actions)
}

// ParseEnabledBody reads the body of PUT …/enabled; M_NOT_JSON, M_MISSING_PARAM, or M_BAD_JSON without a boolean.
func ParseEnabledBody(body []byte) (bool, error) {
	body, err := canonicaljson.Normalize(body)
	if err != nil {
		return false, err
	}
	if !rawjson.IsObject(body) {
		return false, badRule("it must be an object.")
	}
	switch string(rawjson.Get(body, "enabled")) {
	case "":
		return false, matrix.NewError(matrix.CodeMissingParam, "The push rule is invalid: enabled is missing.")
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, badRule("enabled must be true or false.")
}

func badRule(why string) error {
	return matrix.NewError(matrix.CodeBadJSON, "The push rule is invalid: "+why)
}

func invalidRule(why string) error {
	return matrix.NewError(matrix.CodeInvalidParam, "The push rule is invalid: "+why)
}
