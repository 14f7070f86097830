package sync

import (
	"context"
	"slices"
	"strconv"
	"strings"

	roompb "hongyan/api/room"
	syncpb "hongyan/api/sync"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/filter"
	"hongyan/service/sync/internal/live"
)

// Ephemeral event types.
const (
	typeTyping  = "m.typing"
	typeReceipt = "m.receipt"
)

// Receipt types.
const (
	receiptRead      = "m.read"
	receiptPrivate   = "m.read.private"
	receiptFullyRead = "m.fully_read"
)

// addTyping adds who types if that changed since. That nobody does is told only to who may have been told otherwise.
func (a *answer) addTyping(p *part, room *live.Room, since *live.Cut) {
	if room == nil || !a.passesEphemeral(p.id, typeTyping) {
		return
	}
	told := a.r.anew && a.r.since.Typing != 0
	if !told && !room.TypingChanged(since) {
		return
	}
	users := a.node.Typing(room)
	if len(users) > 0 || told || !a.r.initial() {
		slices.Sort(users)
		p.typing, p.hasTyping = users, true
	}
}

// toldTyping is for the token: when the client was last told that somebody types, 0 if it was told the end since.
func (a *answer) toldTyping(changes []live.Change) int64 {
	for i := range changes {
		if room := changes[i].Room; room != nil && a.node.IsTyping(room) {
			return a.cut.Clock
		}
	}
	ended := a.r.from.Typing + (a.s.cfg.MaxTyping + 2*typingTick).Milliseconds()
	if a.cut.Clock < ended {
		return a.r.from.Typing
	}
	return 0
}

// addReceipts adds public receipts, and the user's private ones from the user's log.
func (a *answer) addReceipts(p *part, receipts []*roompb.Receipt, marks []*syncpb.ReadMark) {
	if !a.passesEphemeral(p.id, typeReceipt) {
		return
	}
	p.receipts = append(p.receipts, receipts...)
	for _, m := range marks {
		if m.ReceiptType == receiptPrivate {
			p.marks = append(p.marks, m)
		}
	}
}

func (a *answer) passesEphemeral(roomID, eventType string) bool {
	f := &a.r.filter.Room.Ephemeral
	// Ephemeral events have no sender: a filter by senders cannot mean them.
	return f.Limit != 0 && f.Match(filter.Subject{Type: eventType, RoomID: roomID})
}

// readReceipts reads the public receipts of rooms that are read from further back: those that memory does not have, for all in
// one call.
func (a *answer) readReceipts(ctx context.Context, far []task) error {
	if len(far) == 0 {
		return nil
	}
	a.receipts = make(map[string][]*roompb.Receipt, len(far))
	var missing []*roompb.ReceiptsOf
	for i := range far {
		c := &far[i].change
		of := &roompb.ReceiptsOf{RoomId: c.RoomID, Through: a.through(c)}
		if !a.r.initial() && c.Position <= a.from(c) {
			of.After = a.from(c)
			if c.Room != nil {
				if receipts, ok := a.node.Receipts(nil, c.Room, of.After, of.Through); ok {
					a.receipts[c.RoomID] = receipts
					continue
				}
			}
		}
		missing = append(missing, of)
	}
	const most = 5000 // rooms a call
	for chunk := range slices.Chunk(missing, most) {
		resp, err := a.s.deps.Room.Receipts(ctx, &roompb.ReceiptsRequest{Rooms: chunk})
		if err != nil {
			return err
		}
		for _, r := range resp.Receipts {
			a.receipts[r.RoomId] = append(a.receipts[r.RoomId], r)
		}
	}
	return nil
}

func appendEphemeral(dst []byte, p *part) []byte {
	if !p.hasTyping && len(p.receipts) == 0 && len(p.marks) == 0 {
		return dst
	}
	dst = append(dst, `,"ephemeral":{"events":[`...)
	if p.hasTyping {
		dst = append(dst, `{"content":{"user_ids":`...)
		dst = canonicaljson.AppendStrings(dst, p.typing)
		dst = append(dst, `},"type":"m.typing"}`...)
	}
	if len(p.receipts) > 0 || len(p.marks) > 0 {
		if p.hasTyping {
			dst = append(dst, ',')
		}
		dst = appendReceipts(append(dst, `{"content":`...), p)
		dst = append(dst, `,"type":"m.receipt"}`...)
	}
	return append(dst, ']', '}')
}

// receipt is a receipt as clients see it.
type receipt struct {
	event, kind, user, thread string
	ts                        int64
}

// appendReceipts appends {event: {type: {user: {ts, thread_id}}}}. Of two receipts of a user for one event, the
// unthreaded one is told.
func appendReceipts(dst []byte, p *part) []byte {
	list := make([]receipt, 0, len(p.receipts)+len(p.marks))
	for _, r := range p.receipts {
		list = append(list, receipt{r.EventId, r.ReceiptType, r.UserId, r.ThreadId, r.TsMs})
	}
	for _, m := range p.marks {
		list = append(list, receipt{m.EventId, m.ReceiptType, p.self, m.ThreadId, m.TsMs})
	}
	slices.SortFunc(list, func(x, y receipt) int {
		for _, c := range [...]int{
			strings.Compare(x.event, y.event), strings.Compare(x.kind, y.kind), strings.Compare(x.user, y.user), strings.Compare(x.thread, y.thread),
		} {
			if c != 0 {
				return c
			}
		}
		return 0
	})
	dst = append(dst, '{')
	for i, r := range list {
		sameEvent := i > 0 && list[i-1].event == r.event
		sameKind := sameEvent && list[i-1].kind == r.kind
		if sameKind && list[i-1].user == r.user {
			continue
		}
		switch {
		case sameKind:
			dst = append(dst, ',')
		case sameEvent:
			dst = append(dst, '}', ',')
		case i > 0:
			dst = append(dst, '}', '}', ',')
		}
		if !sameEvent {
			dst = append(canonicaljson.AppendString(dst, r.event), ':', '{')
		}
		if !sameKind {
			dst = append(canonicaljson.AppendString(dst, r.kind), ':', '{')
		}
		dst = append(canonicaljson.AppendString(dst, r.user), ':')
		if r.thread != "" {
			dst = canonicaljson.AppendString(append(dst, `{"thread_id":`...), r.thread)
			dst = append(dst, ',')
		} else {
			dst = append(dst, '{')
		}
		dst = strconv.AppendInt(append(dst, `"ts":`...), r.ts, 10)
		dst = append(dst, '}')
	}
	return append(dst, '}', '}', '}')
}
