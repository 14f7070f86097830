package event

// Event types that the server itself knows (client-server API).
const (
	TypeCreate            = "m.room.create"
	TypeMember            = "m.room.member"
	TypePowerLevels       = "m.room.power_levels"
	TypeJoinRules         = "m.room.join_rules"
	TypeHistoryVisibility = "m.room.history_visibility"
	TypeThirdPartyInvite  = "m.room.third_party_invite"
	TypeRedaction         = "m.room.redaction"
	TypeAliases           = "m.room.aliases" // historical, and particular in versions up to 5
	TypeCanonicalAlias    = "m.room.canonical_alias"
	TypeName              = "m.room.name"
	TypeTopic             = "m.room.topic"
	TypeAvatar            = "m.room.avatar"
	TypeEncryption        = "m.room.encryption"
	TypeEncrypted         = "m.room.encrypted"
	TypeGuestAccess       = "m.room.guest_access"
	TypeServerACL         = "m.room.server_acl"
	TypePinnedEvents      = "m.room.pinned_events"
	TypeTombstone         = "m.room.tombstone"
	TypeMessage           = "m.room.message"
	TypeReaction          = "m.reaction"
	TypeSpaceChild        = "m.space.child"
	TypeSpaceParent       = "m.space.parent"
)

// Membership is a user's relation to a room, content.membership of m.room.member.
type Membership string

// The memberships. A user without a member event counts as Leave.
const (
	Join   Membership = "join"
	Leave  Membership = "leave"
	Invite Membership = "invite"
	Ban    Membership = "ban"
	Knock  Membership = "knock"
)

// Valid tells whether the membership is one that the specification knows.
func (m Membership) Valid() bool {
	switch m {
	case Join, Leave, Invite, Ban, Knock:
		return true
	}
	return false
}

// JoinRule says who may join, content.join_rule of m.room.join_rules.
type JoinRule string

// The join rules. A room without the event has JoinRuleInvite.
const (
	JoinRulePublic          JoinRule = "public"
	JoinRuleInvite          JoinRule = "invite"
	JoinRulePrivate         JoinRule = "private"
	JoinRuleKnock           JoinRule = "knock"
	JoinRuleRestricted      JoinRule = "restricted"
	JoinRuleKnockRestricted JoinRule = "knock_restricted"
)

// HistoryVisibility says who may read, content.history_visibility of m.room.history_visibility.
type HistoryVisibility string

// The history visibilities. A room without the event, or with an unknown value, has VisibilityShared.
const (
	VisibilityWorldReadable HistoryVisibility = "world_readable"
	VisibilityShared        HistoryVisibility = "shared"
	VisibilityInvited       HistoryVisibility = "invited"
	VisibilityJoined        HistoryVisibility = "joined"
)

// ParseHistoryVisibility maps the value in an event to one of the four: an unknown one counts as shared.
func ParseHistoryVisibility(s string) HistoryVisibility {
	switch v := HistoryVisibility(s); v {
	case VisibilityWorldReadable, VisibilityInvited, VisibilityJoined:
		return v
	}
	return VisibilityShared
}
