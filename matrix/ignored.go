package matrix

import "encoding/json"

// ParseIgnored returns whom the content of m.ignored_user_list names. What is malformed names nobody.
func ParseIgnored(content []byte) map[string]struct{} {
	var list, users map[string]json.RawMessage
	if json.Unmarshal(content, &list) != nil || json.Unmarshal(list["ignored_users"], &users) != nil {
		return nil
	}
	ignored := make(map[string]struct{}, len(users))
	for user := range users {
		ignored[user] = struct{}{}
	}
	return ignored
}
