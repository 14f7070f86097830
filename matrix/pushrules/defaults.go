package pushrules

import (
	"encoding/json"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
)

// The ids of predefined rules that are treated in some special way.
const (
	RuleMaster              = ".m.rule.master"
	ruleInviteForMe         = ".m.rule.invite_for_me"
	ruleIsUserMention       = ".m.rule.is_user_mention"
	ruleContainsDisplayName = ".m.rule.contains_display_name"
	ruleRoomNotif           = ".m.rule.roomnotif"
	ruleContainsUserName    = ".m.rule.contains_user_name"
)

// isLegacy tells whether a rule only sees events without m.mentions.
func isLegacy(ruleID string) bool {
	switch ruleID {
	case ruleContainsDisplayName, ruleRoomNotif, ruleContainsUserName:
		return true
	}
	return false
}

// defaultOverride, defaultContent and defaultUnderride are the predefined rules of a user, in
// their order (client-server API, "Predefined Rules").
func defaultOverride(user matrix.UserID) []Rule {
	id := string(user)
	return []Rule{
		predefined(".m.rule.suppress_notices", conditions(match("content.msgtype", "m.notice"))),
		predefined(ruleInviteForMe, conditions(match("type", "m.room.member"),
			match("content.membership", "invite"), match("state_key", id)), notify, soundDefault),
		predefined(".m.rule.member_event", conditions(match("type", "m.room.member"))),
		predefined(ruleIsUserMention, conditions(propertyContains(`content.m\.mentions.user_ids`, quote(id))),
			notify, soundDefault, highlight),
		predefined(ruleContainsDisplayName, conditions(`{"kind":"contains_display_name"}`), notify, soundDefault, highlight),
		predefined(".m.rule.is_room_mention", conditions(propertyIs(`content.m\.mentions.room`, "true"), mayNotifyRoom), notify, highlight),
		predefined(ruleRoomNotif, conditions(match("content.body", "@room"), mayNotifyRoom), notify, highlight),
		predefined(".m.rule.tombstone", conditions(match("type", "m.room.tombstone"), match("state_key", "")), notify, highlight),
		predefined(".m.rule.reaction", conditions(match("type", "m.reaction"))),
		predefined(".m.rule.room.server_acl", conditions(match("type", "m.room.server_acl"), match("state_key", ""))),
		predefined(".m.rule.suppress_edits", conditions(propertyIs(`content.m\.relates_to.rel_type`, `"m.replace"`))),
	}
}

func defaultMaster() Rule {
	master := predefined(RuleMaster, conditions())
	master.Enabled = false
	return master
}

func defaultContent(user matrix.UserID) []Rule {
	rule := predefined(ruleContainsUserName, nil, notify, soundDefault, highlight)
	rule.Pattern = user.Localpart()
	return []Rule{rule}
}

func defaultUnderride() []Rule {
	return []Rule{
		predefined(".m.rule.call", conditions(match("type", "m.call.invite")), notify, soundRing),
		predefined(".m.rule.encrypted_room_one_to_one", conditions(twoMembers, match("type", "m.room.encrypted")), notify, soundDefault),
		predefined(".m.rule.room_one_to_one", conditions(twoMembers, match("type", "m.room.message")), notify, soundDefault),
		predefined(".m.rule.message", conditions(match("type", "m.room.message")), notify),
		predefined(".m.rule.encrypted", conditions(match("type", "m.room.encrypted")), notify),
	}
}

const (
	twoMembers    = `{"kind":"room_member_count","is":"2"}`
	mayNotifyRoom = `{"kind":"sender_notification_permission","key":"room"}`
)

func predefined(id string, conditions []json.RawMessage, actions ...Action) Rule {
	if actions == nil {
		actions = []Action{}
	}
	return Rule{RuleID: id, Default: true, Enabled: true, Conditions: conditions, Actions: actions}
}

func conditions(list ...string) []json.RawMessage {
	raw := make([]json.RawMessage, len(list))
	for i, c := range list {
		raw[i] = json.RawMessage(c)
	}
	return raw
}

func match(key, pattern string) string {
	return `{"kind":"event_match","key":` + quote(key) + `,"pattern":` + quote(pattern) + `}`
}

func propertyIs(key, value string) string {
	return `{"kind":"event_property_is","key":` + quote(key) + `,"value":` + value + `}`
}

func propertyContains(key, value string) string {
	return `{"kind":"event_property_contains","key":` + quote(key) + `,"value":` + value + `}`
}

func quote(s string) string { return string(canonicaljson.AppendString(nil, s)) }
