package matrix

import (
	"encoding/json"
	"strings"
)

// ParseIgnored returns whom the content of a user's m.ignored_user_list names. What is malformed, an id too, names nobody, and nobody ignores
// themselves.
func ParseIgnored(content []byte, of UserID) map[string]struct{} {
	var list, users map[string]json.RawMessage
	if json.Unmarshal(content, &list) != nil || json.Unmarshal(list["ignored_users"], &users) != nil {
		return nil
	}
	ignored := make(map[string]struct{}, len(users))
	for user := range users {
		if _, err := ParseUserID(user); err == nil && !strings.Contains(user, "\x00") {
			ignored[user] = struct{}{}
		}
	}
	delete(ignored, string(of))
	return ignored
}
