package pushrules

import (
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/matrix/internal/rawjson"
)

// Outline is what is kept of an event beside it, so that most rules can be evaluated without the event: which of the
// predefined rules hold that depend on no reader, and what the others ask. It does not change.
type Outline struct {
	Sender matrix.UserID
	// Facts are what holds of the event.
	Facts Facts
	// Type is the event's type where Facts do not tell it.
	Type string
	// Words says which words content.body may have.
	Words Words
	// Mentioned are the users that content.m\.mentions names, or whom the event invites.
	Mentioned []string
	// Members is how many users were joined after the event, Power the sender's power level, and Levels those needed
	// for kinds of notifications that are not 50.
	Members int
	Power   int64
	Levels  map[string]int64
}

// Facts are a set of what holds of an event. Its bits are stored: they are never given another meaning.
type Facts uint32

// The facts. The first are the predefined rules whose conditions hold.
const (
	factNotice Facts = 1 << iota
	factMember
	factRoomMention
	factRoomNotif
	factTombstone
	factReaction
	factServerACL
	factEdit
	factCall
	factEncryptedOneToOne
	factOneToOne
	factMessage
	factEncrypted
	// FactMentions says that the event has m.mentions, FactBody that its content.body is a string.
	FactMentions
	FactBody
	// factMany says that it names more users than an outline keeps.
	factMany
	// factInvite says that it is an invite.
	factInvite
	// FactState says that it is a state event.
	FactState
)

// maxMentioned is how many users an outline names.
const maxMentioned = 50

// notifyDefault is the level that a kind of notification needs where the room does not say.
const notifyDefault = 50

// factOf is the fact that the conditions of a predefined rule hold; 0 where they depend on the reader.
func factOf(ruleID string) Facts {
	switch ruleID {
	case ".m.rule.suppress_notices":
		return factNotice
	case ".m.rule.member_event":
		return factMember
	case ".m.rule.is_room_mention":
		return factRoomMention
	case ruleRoomNotif:
		return factRoomNotif
	case ".m.rule.tombstone":
		return factTombstone
	case ".m.rule.reaction":
		return factReaction
	case ".m.rule.room.server_acl":
		return factServerACL
	case ".m.rule.suppress_edits":
		return factEdit
	case ".m.rule.call":
		return factCall
	case ".m.rule.encrypted_room_one_to_one":
		return factEncryptedOneToOne
	case ".m.rule.room_one_to_one":
		return factOneToOne
	case ".m.rule.message":
		return factMessage
	case ".m.rule.encrypted":
		return factEncrypted
	}
	return 0
}

// typeFacts are those that tell the type of an event, as rules see it: in lower case.
var typeFacts = [...]struct {
	fact Facts
	name string
}{
	{factMember, "m.room.member"}, {factReaction, "m.reaction"}, {factCall, "m.call.invite"},
	{factMessage, "m.room.message"}, {factEncrypted, "m.room.encrypted"},
}

// Outline returns what is kept of the event. power is the sender's power level, levels what kinds of notifications need.
func (p *Prepared) Outline(power int64, levels map[string]int64) *Outline {
	o := &Outline{Sender: p.event.Sender(), Members: p.room.Members, Power: power}
	for key, level := range levels {
		if level != notifyDefault {
			if o.Levels == nil {
				o.Levels = map[string]int64{}
			}
			o.Levels[key] = level
		}
	}
	pre := unchanged()
	nobody := &Evaluator{predefined: pre}
	for _, rules := range [...][]compiled{pre.override, pre.underride} {
		for i := range rules {
			if rules[i].fact != 0 && nobody.matches(&rules[i], p, "") {
				o.Facts |= rules[i].fact
			}
		}
	}
	if p.hasMentions {
		o.Facts |= FactMentions
	}
	if p.event.IsState() {
		o.Facts |= FactState
	}
	if body := &p.values[slotBody]; body.isText {
		o.Facts |= FactBody
		o.Words = wordsOf(body.lower)
	}
	if _, ok := o.typeName(); !ok {
		o.Type = p.event.Type()
	}
	o.mentioned(p)
	return o
}

func (o *Outline) mentioned(p *Prepared) {
	if p.event.IsState() && p.values[slotType].lower == event.TypeMember && p.values[slotMembership].lower == string(event.Invite) {
		o.Facts |= factInvite
		o.Mentioned = []string{p.event.StateKeyValue()}
		return
	}
	for it := rawjson.Array(p.values[slotMentionedUsers].raw); it.Next(); {
		user, ok := rawjson.String(it.Value)
		switch {
		case !ok:
		case len(o.Mentioned) == maxMentioned:
			o.Facts |= factMany
			o.Mentioned = nil
			return
		default:
			o.Mentioned = append(o.Mentioned, user)
		}
	}
}

// typeName is the event's type in lower case where the facts tell it.
func (o *Outline) typeName() (string, bool) {
	for _, t := range typeFacts {
		if o.Facts&t.fact != 0 {
			return t.name, true
		}
	}
	return "", false
}

// CanNotify tells whether the sender's power sufficed for a kind of notification.
func (o *Outline) CanNotify(key string) bool {
	level, ok := o.Levels[key]
	if !ok {
		level = notifyDefault
	}
	return o.Power >= level
}

// Circumstances are those in which the event is to be evaluated.
func (o *Outline) Circumstances() Circumstances {
	return Circumstances{Members: o.Members, SenderCanNotify: o.CanNotify}
}

// IsMember tells whether the event changes a membership or a profile.
func (f Facts) IsMember() bool { return f&factMember != 0 }

// AsksForName tells whether the name of a reader may decide about the event: it has a body.
func (f Facts) AsksForName() bool { return f&FactBody != 0 }
