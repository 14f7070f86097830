package room

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"github.com/tidwall/gjson"

	"hongyan/matrix"
	"hongyan/matrix/auth"
	"hongyan/matrix/event"
	"hongyan/platform/eventlog"
	"hongyan/service/room/internal/state"
	"hongyan/service/room/internal/store"
)

// profile is what people who are not in a room may learn of it, where they may learn of it at all: in the directory, the
// hierarchy of spaces and summaries. It is stored as JSON beside the room, so that nobody reads states for it.
type profile struct {
	Name           string   `json:"name,omitempty"`
	Topic          string   `json:"topic,omitempty"`
	Alias          string   `json:"canonical_alias,omitempty"`
	Avatar         string   `json:"avatar_url,omitempty"`
	JoinRule       string   `json:"join_rule"`
	Type           string   `json:"room_type,omitempty"`
	WorldReadable  bool     `json:"world_readable"`
	GuestCanJoin   bool     `json:"guest_can_join"`
	Encryption     string   `json:"encryption,omitempty"`
	Version        string   `json:"room_version,omitempty"`
	AllowedRoomIDs []string `json:"allowed_room_ids,omitempty"`
}

// profileTypes are the state events with an empty key that a profile is made of.
var profileTypes = []string{
	event.TypeCreate, event.TypeName, event.TypeTopic, event.TypeCanonicalAlias, event.TypeAvatar, event.TypeJoinRules,
	event.TypeHistoryVisibility, event.TypeGuestAccess, event.TypeEncryption,
}

func isProfile(typ, key string) bool { return key == "" && slices.Contains(profileTypes, typ) }

// profileOf reads the state events, by type; those that a room lacks are nil.
func profileOf(version event.RoomVersion, of func(typ string) *event.Event) profile {
	p := profile{Version: string(version), JoinRule: string(auth.JoinRuleOf(of(event.TypeJoinRules)))}
	text := func(typ, key string) string {
		if e := of(typ); e != nil {
			return shortened(e.ContentString(key), maxText)
		}
		return ""
	}
	p.Name = text(event.TypeName, "name")
	p.Topic = shortened(plainTopic(of(event.TypeTopic)), maxTopic)
	p.Alias = text(event.TypeCanonicalAlias, "alias")
	p.Avatar = text(event.TypeAvatar, "url")
	p.Type = text(event.TypeCreate, "type")
	p.WorldReadable = text(event.TypeHistoryVisibility, "history_visibility") == string(event.VisibilityWorldReadable)
	p.GuestCanJoin = text(event.TypeGuestAccess, "guest_access") == "can_join"
	p.Encryption = text(event.TypeEncryption, "algorithm")
	switch event.JoinRule(p.JoinRule) {
	case event.JoinRuleRestricted, event.JoinRuleKnockRestricted:
		p.AllowedRoomIDs = allowedRooms(of(event.TypeJoinRules))
	}
	return p
}

// plainTopic returns the plain text of a topic: that of m.topic where it has one.
func plainTopic(e *event.Event) string {
	if e == nil {
		return ""
	}
	text := gjson.ParseBytes(e.ContentValue("m.topic")).Get(`m\.text`)
	if text.IsArray() {
		for _, one := range text.Array() {
			mime, body := one.Get("mimetype"), one.Get("body")
			if body.Type == gjson.String && (!mime.Exists() || mime.Str == "text/plain") {
				return body.Str
			}
		}
	}
	return e.ContentString("topic")
}

// row is the profile as it is stored.
func (p profile) row(room int64) (store.Profile, error) {
	encoded, err := json.Marshal(p)
	return store.Profile{Room: room, Search: p.search(), JSON: encoded}, err
}

// maxTopic and maxText are how much of a topic, and of anything else, is told outside the room, in bytes: a page of the directory
// has many of them.
const (
	maxTopic = 4096
	maxText  = 1024
)

// search is what the directory is searched in: one line each for name, alias and topic.
func (p profile) search() string {
	return fold(p.Name) + "\n" + fold(p.Alias) + "\n" + fold(p.Topic)
}

// fold makes texts equal that differ only in case, in all scripts, or in white space. What it returns is one line.
func fold(text string) string {
	folded := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		// The least of all that equal each other but for their case.
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, text)
	return strings.Join(strings.Fields(folded), " ")
}

// shortened returns a text that is at most as many bytes long.
func shortened(text string, most int) string {
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "")
	}
	return text
}

// maxListedType is how much of a room's type the directory goes by, in bytes: it is in an index.
const maxListedType = 255

// listedType is a room type as the directory is filtered by.
func listedType(kind string) string {
	return shortened(strings.ReplaceAll(kind, "\x00", ""), maxListedType)
}

// profileRows appends the rows of the directory that the batch changes: how many are joined, and the profile.
func (w *working) profileRows(ctx context.Context, rows []eventlog.Row) ([]eventlog.Row, error) {
	isNew, joined := w.base.stream.Seq == 0, w.state.Count(state.Join)
	if isNew || joined != w.base.state.Count(state.Join) {
		rows = append(rows, store.Listing{
			Room: w.base.stream.ID, RoomID: string(w.roomID), Joined: int64(joined), Published: w.published,
			Type: listedType(w.state.Event(event.TypeCreate).ContentString("type")),
		}.Row())
	}
	if !isNew && !w.profiled {
		return rows, nil
	}
	var failed error
	p := profileOf(w.rules.Version, func(typ string) *event.Event {
		e, err := w.current(ctx, typ, "")
		if err != nil && failed == nil {
			failed = err
		}
		return e
	})
	if failed != nil {
		return nil, failed
	}
	row, err := p.row(w.base.stream.ID)
	if err != nil {
		return nil, matrix.Internal(err)
	}
	return append(rows, row.Row()), nil
}
