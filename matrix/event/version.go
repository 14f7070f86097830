package event

import "hongyan/matrix"

// RoomVersion names a set of rules for the events of a room.
type RoomVersion string

// The room versions that can be used.
const (
	V1  RoomVersion = "1"
	V2  RoomVersion = "2"
	V3  RoomVersion = "3"
	V4  RoomVersion = "4"
	V5  RoomVersion = "5"
	V6  RoomVersion = "6"
	V7  RoomVersion = "7"
	V8  RoomVersion = "8"
	V9  RoomVersion = "9"
	V10 RoomVersion = "10"
	V11 RoomVersion = "11"
	V12 RoomVersion = "12"

	// DefaultVersion is for new rooms.
	DefaultVersion = V12
)

// Rules is what a room version decides. Every supported version is stable.
type Rules struct {
	Version RoomVersion

	// OwnEventIDs has the server choose event ids, which stand in the event. What it follows and what authorises it is
	// then named by id and reference hash.
	OwnEventIDs bool
	// SlashedEventIDs makes event ids in the standard alphabet of base64, which has slashes.
	SlashedEventIDs bool
	// RedactionRule authorises redactions by the redact level, or by the servers of the two event ids.
	RedactionRule bool
	// AliasesRule authorises m.room.aliases by the server in the state key alone, and keeps "aliases" in redacted ones.
	AliasesRule bool
	// NotificationLevels guards changes of "notifications" in power levels.
	NotificationLevels bool
	// Knocking allows membership "knock" and join rule "knock".
	Knocking bool
	// Restricted allows join rule "restricted".
	Restricted bool
	// KnockRestricted allows join rule "knock_restricted".
	KnockRestricted bool
	// KeepAllow keeps "allow" in redacted join rules.
	KeepAllow bool
	// KeepAuthorisedVia keeps "join_authorised_via_users_server" in redacted member events.
	KeepAuthorisedVia bool
	// IntegerPowerLevels refuses power levels written as strings.
	IntegerPowerLevels bool
	// RedactsInContent places what an m.room.redaction redacts into its content.
	RedactsInContent bool
	// CreatorInContent requires "creator" in the content of m.room.create.
	CreatorInContent bool
	// NewRedaction is the redaction algorithm of version 11.
	NewRedaction bool
	// RoomIDFromCreate makes the room id from the id of the create event, which then has no
	// room_id and stands in nobody's auth_events.
	RoomIDFromCreate bool
	// InfiniteCreators gives the creators of the room infinite power, for ever.
	InfiniteCreators bool
}

// versions is the table of supported versions, oldest first. Each row says what is new.
var versions = [...]Rules{
	versionRules(V1, 1), versionRules(V2, 2), versionRules(V3, 3), versionRules(V4, 4), versionRules(V5, 5),
	versionRules(V6, 6), versionRules(V7, 7), versionRules(V8, 8), versionRules(V9, 9),
	versionRules(V10, 10), versionRules(V11, 11), versionRules(V12, 12),
}

func versionRules(v RoomVersion, n int) Rules {
	return Rules{
		Version:            v,
		OwnEventIDs:        n < 3,
		RedactionRule:      n < 3,
		SlashedEventIDs:    n == 3,
		AliasesRule:        n < 6,
		NotificationLevels: n >= 6,
		CreatorInContent:   n < 11,
		Knocking:           n >= 7,
		Restricted:         n >= 8,
		KeepAllow:          n >= 8,
		KeepAuthorisedVia:  n >= 9,
		KnockRestricted:    n >= 10,
		IntegerPowerLevels: n >= 10,
		RedactsInContent:   n >= 11,
		NewRedaction:       n >= 11,
		RoomIDFromCreate:   n >= 12,
		InfiniteCreators:   n >= 12,
	}
}

// Versions lists the supported room versions, oldest first.
func Versions() []RoomVersion {
	list := make([]RoomVersion, len(versions))
	for i := range versions {
		list[i] = versions[i].Version
	}
	return list
}

// Rules returns the rules of the version; nil if the version is not supported.
func (v RoomVersion) Rules() *Rules {
	for i := range versions {
		if versions[i].Version == v {
			return &versions[i]
		}
	}
	return nil
}

// Supported tells whether rooms of this version can be used.
func (v RoomVersion) Supported() bool { return v.Rules() != nil }

// ParseVersion returns the version named by a client; M_UNSUPPORTED_ROOM_VERSION if it cannot be used.
func ParseVersion(s string) (RoomVersion, error) {
	if v := RoomVersion(s); v.Supported() {
		return v, nil
	}
	return "", matrix.Errorf(matrix.CodeUnsupportedRoomVersion, "This server does not support room version %q.", truncate(s))
}

// truncate keeps what a client sent short enough for a message.
func truncate(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
