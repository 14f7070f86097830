package pushrules

import (
	"slices"
	"strings"

	"hongyan/matrix"
)

// EvaluateOutline is Evaluate for an event of which only the outline is at hand. known is false where that does not
// suffice: then the event must be evaluated itself.
func (e *Evaluator) EvaluateOutline(o *Outline, room matrix.RoomID, displayName string) (result Result, known bool) {
	if o.Sender == e.user {
		return Result{}, true
	}
	look := outlook{o: o, room: room, name: strings.ToLower(displayName)}
	pre := e.predefined
	for _, rules := range [...][]compiled{pre.master, e.own.override, pre.override, e.own.content, pre.content} {
		if c, unsure := e.firstOutline(rules, &look); c != nil || unsure {
			return resultIf(c, !unsure)
		}
	}
	if c, ok := e.rooms[room]; ok {
		return c.result, true
	}
	if c, ok := e.senders[o.Sender]; ok {
		return c.result, true
	}
	for _, rules := range [...][]compiled{e.own.underride, pre.underride} {
		if c, unsure := e.firstOutline(rules, &look); c != nil || unsure {
			return resultIf(c, !unsure)
		}
	}
	return Result{}, true
}

func resultIf(c *compiled, known bool) (Result, bool) {
	if !known {
		return Result{}, false
	}
	return c.result, true
}

// outlook is an outline with what is asked beside it.
type outlook struct {
	o    *Outline
	room matrix.RoomID
	name string // of the reader, in lower case
}

// firstOutline returns the first rule that holds; unsure is set where that cannot be told.
func (e *Evaluator) firstOutline(rules []compiled, look *outlook) (c *compiled, unsure bool) {
	for i := range rules {
		switch e.holdsOutline(&rules[i], look) {
		case yes:
			return &rules[i], false
		case maybe:
			return nil, true
		}
	}
	return nil, false
}

// certainty is an answer that may not be known.
type certainty uint8

const (
	no certainty = iota
	maybe
	yes
)

func sure(b bool) certainty {
	if b {
		return yes
	}
	return no
}

func (e *Evaluator) holdsOutline(c *compiled, look *outlook) certainty {
	switch {
	case c.fact != 0:
		return sure(look.o.Facts&c.fact != 0)
	case c.legacy && look.o.Facts&FactMentions != 0:
		return no
	case c.invite:
		return sure(look.o.Facts&factInvite != 0 && len(look.o.Mentioned) == 1 && strings.ToLower(look.o.Mentioned[0]) == e.lower)
	}
	all := yes
	for i := range c.conditions {
		switch e.conditionOutline(&c.conditions[i], look) {
		case no:
			return no
		case maybe:
			all = maybe
		}
	}
	return all
}

func (e *Evaluator) conditionOutline(c *condition, look *outlook) certainty {
	o := look.o
	switch c.kind {
	case never:
		return no
	case matches:
		return matchOutline(c, look)
	case matchesBody:
		return inBody(o, c.glob.Literal())
	case containsDisplayName:
		if look.name == "" {
			return no
		}
		return inBody(o, look.name)
	case bodyHasUserName:
		if e.name == "" {
			return no
		}
		return inBody(o, e.name)
	case memberCount:
		return sure(c.count.holds(o.Members))
	case senderMayNotify:
		return sure(o.CanNotify(c.key))
	case containsUser:
		// Of an invite the outline has whom it is for.
		if o.Facts&factMany != 0 || o.Facts&(factInvite|FactMentions) == factInvite|FactMentions {
			return maybe
		}
		return sure(o.Facts&FactMentions != 0 && slices.Contains(o.Mentioned, string(e.user)))
	}
	return maybe
}

// matchOutline checks a pattern for one of the properties that an outline has.
func matchOutline(c *condition, look *outlook) certainty {
	switch c.slot {
	case slotSender:
		return sure(c.glob.MatchAll(strings.ToLower(string(look.o.Sender))))
	case slotRoomID:
		return sure(c.glob.MatchAll(strings.ToLower(string(look.room))))
	case slotType:
		name, ok := look.o.typeName()
		if !ok {
			name = strings.ToLower(look.o.Type)
		}
		return sure(c.glob.MatchAll(name))
	}
	return maybe
}

// inBody tells whether the body may have a text between word boundaries; "" is any.
func inBody(o *Outline, s string) certainty {
	if o.Facts&FactBody == 0 || !o.Words.mayHave(s) {
		return no
	}
	return maybe
}
