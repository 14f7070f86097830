package matrix

import (
	"strings"
	"unicode/utf8"
)

// MaxIDLength is how long an identifier may be, in bytes, with its sigil and its server name
// (appendices, "Identifier Grammar").
const MaxIDLength = 255

// UserID is a user's id, @localpart:server.
type UserID string

// RoomID is a room's id: !opaque:server, or from room version 12 on the create event's id with
// the sigil "!" and no server.
type RoomID string

// EventID is an event's id: $hash from room version 3 on, $opaque:server before.
type EventID string

// RoomAlias is a room's readable address, #localpart:server.
type RoomAlias string

// ParseUserID checks a user id. Historical ids (appendices, "Historical User IDs") are accepted:
// their local part may hold any character but ":" and NUL, or be empty. What may be registered
// is narrower: see ValidateLocalpart. The error is M_INVALID_PARAM.
func ParseUserID(s string) (UserID, error) {
	local, server, err := splitID(s, '@', "user id")
	if err != nil {
		return "", err
	}
	if err := checkParts(local, server, "user id"); err != nil {
		return "", err
	}
	return UserID(s), nil
}

// ParseRoomID checks a room id of any room version. The error is M_INVALID_PARAM.
func ParseRoomID(s string) (RoomID, error) {
	if err := parseOpaque(s, '!', "room id"); err != nil {
		return "", err
	}
	return RoomID(s), nil
}

// ParseEventID checks an event id of any room version. The error is M_INVALID_PARAM.
func ParseEventID(s string) (EventID, error) {
	if err := parseOpaque(s, '$', "event id"); err != nil {
		return "", err
	}
	return EventID(s), nil
}

// ParseRoomAlias checks a room alias. The error is M_INVALID_PARAM.
func ParseRoomAlias(s string) (RoomAlias, error) {
	local, server, err := splitID(s, '#', "room alias")
	if err != nil {
		return "", err
	}
	if local == "" {
		return "", Errorf(CodeInvalidParam, "The room alias has no local part between # and the server name.")
	}
	if err := checkParts(local, server, "room alias"); err != nil {
		return "", err
	}
	return RoomAlias(s), nil
}

// NewUserID joins a local part and a server name. Neither is checked.
func NewUserID(localpart string, server ServerName) UserID {
	return UserID("@" + localpart + ":" + string(server))
}

// NewRoomAlias joins a local part and a server name. Neither is checked.
func NewRoomAlias(localpart string, server ServerName) RoomAlias {
	return RoomAlias("#" + localpart + ":" + string(server))
}

// Localpart is what stands between the sigil and the server name.
func (u UserID) Localpart() string { local, _ := halves(string(u)); return local }

// Server is the server that the user belongs to.
func (u UserID) Server() ServerName { _, server := halves(string(u)); return server }

// String returns the id.
func (u UserID) String() string { return string(u) }

// Server is the server in the id, or "" in a room id without one (room version 12).
func (r RoomID) Server() ServerName { _, server := halves(string(r)); return server }

// CreateEventID is the id of the room's m.room.create event, where the room id is made from it
// (room version 12). It is "" for a room id with a server.
func (r RoomID) CreateEventID() EventID {
	if len(r) < 2 || r[0] != '!' || strings.IndexByte(string(r), ':') >= 0 {
		return ""
	}
	return EventID("$" + string(r[1:]))
}

// String returns the id.
func (r RoomID) String() string { return string(r) }

// RoomID is the id of the room which the event creates, where the room's version makes the room
// id from the create event's id (room version 12).
func (e EventID) RoomID() RoomID {
	if len(e) < 2 {
		return ""
	}
	return RoomID("!" + string(e[1:]))
}

// String returns the id.
func (e EventID) String() string { return string(e) }

// Localpart is what stands between the sigil and the server name.
func (a RoomAlias) Localpart() string { local, _ := halves(string(a)); return local }

// Server is the server that the alias belongs to.
func (a RoomAlias) Server() ServerName { _, server := halves(string(a)); return server }

// String returns the alias.
func (a RoomAlias) String() string { return string(a) }

// halves splits an id that was parsed before, without checking it again.
func halves(s string) (localpart string, server ServerName) {
	if s == "" {
		return "", ""
	}
	local, srv, _ := strings.Cut(s[1:], ":")
	return local, ServerName(srv)
}

// splitID checks sigil, length and encoding, and cuts the id at its first colon.
func splitID(s string, sigil byte, what string) (local, server string, err error) {
	if err := checkRaw(s, sigil, what); err != nil {
		return "", "", err
	}
	local, server, ok := strings.Cut(s[1:], ":")
	if !ok {
		return "", "", Errorf(CodeInvalidParam, "The %s has no server name: it must be %clocalpart:server.", what, sigil)
	}
	return local, server, nil
}

// parseOpaque checks an id that need not have a server name.
func parseOpaque(s string, sigil byte, what string) error {
	if err := checkRaw(s, sigil, what); err != nil {
		return err
	}
	local, server, ok := strings.Cut(s[1:], ":")
	if local == "" {
		return Errorf(CodeInvalidParam, "The %s has nothing after its %c.", what, sigil)
	}
	if !ok {
		return checkParts(local, "a", what)
	}
	return checkParts(local, server, what)
}

func checkRaw(s string, sigil byte, what string) error {
	switch {
	case s == "" || s[0] != sigil:
		return Errorf(CodeInvalidParam, "The %s must begin with %c.", what, sigil)
	case len(s) > MaxIDLength:
		return Errorf(CodeInvalidParam, "The %s is longer than %d bytes.", what, MaxIDLength)
	case !utf8.ValidString(s):
		return Errorf(CodeInvalidParam, "The %s is not valid UTF-8.", what)
	}
	return nil
}

func checkParts(local, server, what string) error {
	if strings.IndexByte(local, 0) >= 0 {
		return Errorf(CodeInvalidParam, "The %s has a NUL character.", what)
	}
	if !validServerName(server) {
		return Errorf(CodeInvalidParam, "The %s ends in an invalid server name.", what)
	}
	return nil
}
