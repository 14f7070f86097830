package event

import (
	"bytes"
	"fmt"

	"hongyan/matrix/internal/rawjson"
)

// Redact returns the event without what the redaction algorithm of its room's version strips. Its
// id and its signatures stay valid. json must be canonical and so is the result.
func Redact(version RoomVersion, json []byte) ([]byte, error) {
	rules := version.Rules()
	if rules == nil {
		return nil, fmt.Errorf("redact event: unknown room version %q", version)
	}
	return appendRedacted(make([]byte, 0, len(json)), rules, json, true)
}

// Redacted returns a copy of the event as Redact leaves it; the event itself if that changes nothing.
func (e *Event) Redacted() (*Event, error) {
	json, err := Redact(e.rules.Version, e.json)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(json, e.json) {
		return e, nil
	}
	return ParseWithID(e.rules.Version, e.id, json)
}

// appendRedacted appends the redacted event, without its signatures if they are not wanted.
func appendRedacted(dst []byte, rules *Rules, json []byte, signatures bool) ([]byte, error) {
	eventType := rawjson.Text(rawjson.Get(json, "type"))
	if eventType == "" {
		return nil, fmt.Errorf("redact event: it has no type")
	}
	dst = append(dst, '{')
	for it := rawjson.Object(json); it.Next(); {
		if !keepsTopLevel(rules, string(it.Key)) || !signatures && string(it.Key) == "signatures" {
			continue
		}
		dst = appendRawKey(dst, it.Key)
		if string(it.Key) == "content" {
			dst = appendRedactedContent(dst, rules, eventType, it.Value)
		} else {
			dst = append(dst, it.Value...)
		}
	}
	return append(dst, '}'), nil
}

// appendRawKey appends a key that is already escaped.
func appendRawKey(dst, key []byte) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, key...)
	return append(dst, '"', ':')
}

func keepsTopLevel(rules *Rules, key string) bool {
	switch key {
	case "event_id", "type", "room_id", "sender", "state_key", "content", "hashes", "signatures",
		"depth", "prev_events", "auth_events", "origin_server_ts":
		return true
	case "prev_state", "origin", "membership":
		return !rules.NewRedaction
	}
	return false
}

func appendRedactedContent(dst []byte, rules *Rules, eventType string, content []byte) []byte {
	if !keepsContent(rules, eventType) {
		return append(dst, '{', '}')
	}
	if eventType == TypeCreate && rules.NewRedaction {
		return append(dst, content...)
	}
	dst = append(dst, '{')
	for it := rawjson.Object(content); it.Next(); {
		switch {
		case keepsContentKey(rules, eventType, string(it.Key)):
			dst = append(appendRawKey(dst, it.Key), it.Value...)
		case rules.NewRedaction && eventType == TypeMember && string(it.Key) == "third_party_invite":
			dst = appendRedactedInvite(dst, it.Key, it.Value)
		}
	}
	return append(dst, '}')
}

// appendRedactedInvite keeps third_party_invite, if it is an object, and of it only "signed".
func appendRedactedInvite(dst, key, invite []byte) []byte {
	if !rawjson.IsObject(invite) {
		return dst
	}
	dst = append(appendRawKey(dst, key), '{')
	if signed := rawjson.Get(invite, "signed"); signed != nil {
		dst = append(append(dst, `"signed":`...), signed...)
	}
	return append(dst, '}')
}

// keepsContent tells whether anything in the content of this type may survive a redaction.
func keepsContent(rules *Rules, eventType string) bool {
	switch eventType {
	case TypeMember, TypeCreate, TypeJoinRules, TypePowerLevels, TypeHistoryVisibility, TypeRedaction:
		return true
	case TypeAliases:
		return rules.AliasesRule
	}
	return false
}

func keepsContentKey(rules *Rules, eventType, key string) bool {
	switch eventType {
	case TypeMember:
		return key == "membership" || key == "join_authorised_via_users_server" && rules.KeepAuthorisedVia
	case TypeCreate:
		return key == "creator"
	case TypeJoinRules:
		return key == "join_rule" || key == "allow" && rules.KeepAllow
	case TypePowerLevels:
		switch key {
		case "ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default":
			return true
		}
		return key == "invite" && rules.NewRedaction
	case TypeHistoryVisibility:
		return key == "history_visibility"
	case TypeAliases:
		return key == "aliases" && rules.AliasesRule
	case TypeRedaction:
		return key == "redacts" && rules.NewRedaction
	}
	return false
}
