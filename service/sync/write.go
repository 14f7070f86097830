package sync

import (
	"strconv"

	roompb "hongyan/api/room"
	syncpb "hongyan/api/sync"
	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
	"hongyan/matrix/filter"
	"hongyan/service/sync/internal/devices"
	"hongyan/service/sync/internal/live"
)

const eventFormatClient = filter.FormatClient

// appendBeginning begins an answer.
func appendBeginning(dst []byte, nextBatch string) []byte {
	dst = append(dst, `{"next_batch":"`...)
	dst = append(dst, nextBatch...) // base64url: nothing to escape
	return append(dst, '"')
}

// appendEnd ends an answer, with the counts of keys unless nothing is known of them.
func appendEnd(dst []byte, counts *devices.Counts) []byte {
	if counts != nil {
		dst = append(dst, counts.JSON...)
	}
	return append(dst, '}')
}

// section is an object in an answer that vanishes if nothing is put into it.
type section struct{ start, first int }

func openSection(dst *[]byte, name string) section {
	s := section{start: len(*dst)}
	if (*dst)[len(*dst)-1] != '{' {
		*dst = append(*dst, ',')
	}
	*dst = append(*dst, '"')
	*dst = append(*dst, name...)
	*dst = append(*dst, '"', ':', '{')
	s.first = len(*dst)
	return s
}

// next separates a member from the one before.
func (s *section) next(dst *[]byte) {
	if len(*dst) > s.first {
		*dst = append(*dst, ',')
	}
}

func (s *section) close(dst *[]byte) {
	if len(*dst) == s.first {
		*dst = (*dst)[:s.start]
		return
	}
	*dst = append(*dst, '}')
}

// part is what an answer says of one room.
type part struct {
	id    string
	shard int
	// self is who reads.
	self string
	// timeline are the newest events, oldest first; startSeq is the sequence number before them and startPosition a
	// position there, -1 if there is no prev_batch.
	timeline                []shown
	limited                 bool
	startSeq, startPosition int64
	// state is the state that the client needs besides.
	state   []shown
	summary *summary
	// typing is the list of who types, if hasTyping.
	typing    []string
	hasTyping bool
	receipts  []*roompb.Receipt
	marks     []*syncpb.ReadMark
	data      []*syncpb.AccountData
	unread    unread
	// hasUnread makes the counts alone worth telling.
	hasUnread bool
	// noUnread leaves the counts out.
	noUnread bool
}

// shown is an event with what is told to one reader.
type shown struct {
	*live.Event
	// membership is the reader's own at the event.
	membership event.Membership
	// pdu is the event in the federation format, where that is wanted.
	pdu []byte
	// relations is the JSON of m.relations, in limited timelines alone; nil for none.
	relations []byte
}

func (p *part) reset(c *live.Change) {
	*p = part{
		id: c.RoomID, shard: c.Shard, self: c.User.ID, startSeq: -1, timeline: p.timeline[:0], state: p.state[:0],
		receipts: p.receipts[:0], marks: p.marks[:0], data: p.data[:0],
	}
}

// empty tells whether there is nothing to tell.
func (p *part) empty() bool {
	return len(p.timeline) == 0 && !p.limited && len(p.state) == 0 && p.summary == nil && !p.hasTyping &&
		len(p.receipts) == 0 && len(p.marks) == 0 && len(p.data) == 0 && !p.hasUnread
}

// onlyTypingEnded tells whether all there is to tell is that nobody types.
func (p *part) onlyTypingEnded() bool {
	if !p.hasTyping || len(p.typing) > 0 {
		return false
	}
	p.hasTyping = false
	only := p.empty()
	p.hasTyping = true
	return only
}

// appendJoinedPart appends a joined room.
func (a *answer) appendJoinedPart(dst []byte, p *part) []byte {
	dst = canonicaljson.AppendString(dst, p.id)
	dst = append(dst, ':', '{')
	dst = a.appendTimeline(dst, p)
	dst = a.appendState(dst, p)
	dst = appendSummary(dst, p.summary)
	dst = appendEphemeral(dst, p)
	dst = appendData(dst, p.data)
	if !p.noUnread {
		dst = p.unread.append(dst)
	}
	return append(dst, '}')
}

// appendLeftPart appends a room that the user has left.
func (a *answer) appendLeftPart(dst []byte, p *part) []byte {
	dst = canonicaljson.AppendString(dst, p.id)
	dst = append(dst, ':', '{')
	dst = a.appendTimeline(dst, p)
	dst = a.appendState(dst, p)
	dst = appendData(dst, p.data)
	return append(dst, '}')
}

func (a *answer) appendTimeline(dst []byte, p *part) []byte {
	dst = append(dst, `"timeline":{"events":`...)
	dst = a.appendEvents(dst, p.timeline)
	dst = strconv.AppendBool(append(dst, `,"limited":`...), p.limited)
	if p.startSeq >= 0 {
		dst = append(dst, `,"prev_batch":"`...)
		dst = append(dst, a.prevBatch(p)...)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// appendState appends the state under the name that it was asked for.
func (a *answer) appendState(dst []byte, p *part) []byte {
	if !a.r.wantsStateAfter() {
		return append(a.appendEvents(append(dst, `,"state":{"events":`...), p.state), '}')
	}
	if a.r.stateAfter {
		dst = append(a.appendEvents(append(dst, `,"state_after":{"events":`...), p.state), '}')
	}
	if a.r.stateAfterUnstable {
		dst = append(a.appendEvents(append(dst, `,"org.matrix.msc4222.state_after":{"events":`...), p.state), '}')
	}
	return dst
}

func (a *answer) appendEvents(dst []byte, events []shown) []byte {
	dst = append(dst, '[')
	for i := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = a.appendEvent(dst, &events[i])
	}
	return append(dst, ']')
}

// appendEvent appends an event with what this reader is told besides.
func (a *answer) appendEvent(dst []byte, e *shown) []byte {
	u := event.Unsigned{
		Age: a.now - e.TS, Membership: e.membership,
		PrevContent: e.PrevContent, ReplacesState: e.ReplacesState, RedactedBecause: e.RedactedBecause,
		Relations: e.relations,
	}
	if e.Txn != "" && e.Device == a.r.device && string(e.Sender) == a.r.user {
		u.TransactionID = e.Txn
	}
	client := e.JSON
	if e.pdu != nil {
		client = e.pdu
	}
	if a.r.filter.EventFields == nil {
		return event.AppendUnsigned(dst, client, u)
	}
	return a.r.filter.AppendFields(dst, event.AppendUnsigned(nil, client, u))
}

// appendData appends account data of a room.
func appendData(dst []byte, data []*syncpb.AccountData) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = append(dst, `,"account_data":{"events":[`...)
	for i, d := range data {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendDataEvent(dst, d)
	}
	return append(dst, ']', '}')
}

func appendDataEvent(dst []byte, d *syncpb.AccountData) []byte {
	dst = append(append(dst, `{"content":`...), d.Content...)
	dst = canonicaljson.AppendString(append(dst, `,"type":`...), d.Type)
	return append(dst, '}')
}

// hashEvent names an event where sessions remember it.
func hashEvent(id matrix.EventID) uint64 {
	// FNV-1a: the id is a hash already.
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	return h
}
