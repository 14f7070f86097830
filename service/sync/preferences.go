package sync

import (
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/tidwall/gjson"

	"hongyan/matrix"
	"hongyan/matrix/pushrules"
	"hongyan/service/sync/internal/live"
)

// preferences is what the service itself obeys of a user's account data.
type preferences struct {
	ignored *ignored
	rules   *pushrules.Evaluator
	// basis is a hash of both.
	basis [sha256.Size]byte
}

// ignored is whom a user does not want to hear from. nil is nobody.
type ignored struct {
	users map[string]struct{}
	// allInvites hides every invite.
	allInvites bool
}

// sends tells whether events of a user are hidden, state excepted.
func (i *ignored) sends(userID string) bool {
	if i == nil {
		return false
	}
	_, ok := i.users[userID]
	return ok
}

// list names all of them, sorted.
func (i *ignored) list() []string {
	if i == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(i.users))
}

// invites tells whether invites of a user are hidden.
func (i *ignored) invites(userID string) bool { return i != nil && (i.allInvites || i.sends(userID)) }

// preferencesOf reads a user's preferences; what is malformed counts as not set.
func preferencesOf(u *live.User) *preferences {
	return u.Derive(func(set map[string][]byte) any {
		p := &preferences{ignored: parseIgnored(matrix.UserID(u.ID), set)}
		rules, err := pushrules.Decode(set[live.TypePushRules])
		if err != nil {
			rules = pushrules.Rules{}
		}
		p.rules = rules.Compile(matrix.UserID(u.ID))
		ruleSum, ignoredSum := sha256.Sum256(set[live.TypePushRules]), sha256.Sum256(set[live.TypeIgnoredUsers])
		p.basis = sha256.Sum256(append(ruleSum[:], ignoredSum[:]...))
		return p
	}).(*preferences)
}

// blocksInvites reads m.invite_permission_config ("Invite permission").
func blocksInvites(content []byte) bool {
	return gjson.GetBytes(content, "default_action").Str == "block"
}

func parseIgnored(user matrix.UserID, set map[string][]byte) *ignored {
	i := ignored{
		users:      matrix.ParseIgnored(set[live.TypeIgnoredUsers], user),
		allInvites: blocksInvites(set[live.TypeInvitePermission]),
	}
	if len(i.users) == 0 && !i.allInvites {
		return nil
	}
	return &i
}
