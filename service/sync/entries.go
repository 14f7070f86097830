package sync

import (
	"context"
	"sync"

	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/filter"
	"hongyan/platform/eventlog"
	"hongyan/service/sync/internal/live"

	syncpb "hongyan/api/sync"
)

// newEntries reads what is new in the user's log, by room; under "" what is global.
func (a *answer) newEntries(ctx context.Context) (map[string][]*live.Entry, error) {
	list, ok := a.u.Entries(a.r.from.User, a.cut.User)
	if !ok {
		if err := a.s.takeTurn(ctx, a.p); err != nil {
			return nil, err
		}
		records, err := a.s.users.EntriesAfter(ctx, a.r.user, a.r.from.User)
		if err != nil {
			return nil, unavailable(err)
		}
		if list, err = decodeEntries(records, a.cut.User); err != nil {
			return nil, err
		}
	}
	return byRoom(list), nil
}

func byRoom(list []*live.Entry) map[string][]*live.Entry {
	if len(list) == 0 {
		return nil
	}
	entries := map[string][]*live.Entry{}
	for _, e := range list {
		entries[e.RoomID()] = append(entries[e.RoomID()], e)
	}
	return entries
}

// decodeEntries decodes those of the records that are at or before a position.
func decodeEntries(records []eventlog.Record, through int64) ([]*live.Entry, error) {
	var list []*live.Entry
	for i := range records {
		if records[i].Position > through {
			continue
		}
		e, err := live.DecodeEntry(&records[i])
		if err != nil {
			return nil, err
		}
		if e != nil {
			list = append(list, e)
		}
	}
	return list, nil
}

// allEntries is the whole of the user's log, read at most once for an answer that shows a room as new.
type allEntries struct {
	once    sync.Once
	entries map[string][]*live.Entry
	err     error
}

func (all *allEntries) of(ctx context.Context, a *answer, roomID string) ([]*live.Entry, error) {
	if a.r.initial() && a.r.from.User == 0 {
		return a.entries[roomID], nil
	}
	all.once.Do(func() {
		records, err := a.s.users.Entries(ctx, a.r.user)
		if err != nil {
			all.err = unavailable(err)
			return
		}
		list, err := decodeEntries(records, a.cut.User)
		all.entries, all.err = byRoom(list), err
	})
	return all.entries[roomID], all.err
}

func dataOf(entries []*live.Entry) []*syncpb.AccountData {
	var data []*syncpb.AccountData
	for _, e := range entries {
		if e.Data != nil {
			data = append(data, e.Data)
		}
	}
	return data
}

func marksOf(entries []*live.Entry) []*syncpb.ReadMark {
	var marks []*syncpb.ReadMark
	for _, e := range entries {
		if e.Mark != nil {
			marks = append(marks, e.Mark)
		}
	}
	return marks
}

// addData adds account data of the room.
func (a *answer) addData(p *part, data []*syncpb.AccountData) {
	f := &a.r.filter.Room.AccountData
	for _, d := range data {
		if f.Limit != 0 && f.Match(filter.Subject{Type: d.Type, RoomID: p.id}) {
			p.data = append(p.data, d)
		}
	}
}

// appendAccountData appends what is new of the global account data. The push rules are always part of an initial
// answer.
func (a *answer) appendAccountData(dst []byte) []byte {
	f := &a.r.filter.AccountData
	start := len(dst)
	dst = append(dst, `,"account_data":{"events":[`...)
	empty := len(dst)
	add := func(d *syncpb.AccountData) {
		if f.Limit == 0 || !f.Match(d.Type, "") {
			return
		}
		if len(dst) > empty {
			dst = append(dst, ',')
		}
		if d.Type == live.TypePushRules {
			dst = append(append(dst, `{"content":`...), clientPushRules(a.r.user, d.Content)...)
			dst = append(canonicaljson.AppendString(append(dst, `,"type":`...), d.Type), '}')
			return
		}
		dst = appendDataEvent(dst, d)
	}
	hasRules := false
	for _, d := range dataOf(a.entries[""]) {
		hasRules = hasRules || d.Type == live.TypePushRules
		add(d)
	}
	if !hasRules && a.r.from.User == 0 && a.r.initial() {
		add(&syncpb.AccountData{Type: live.TypePushRules})
	}
	if len(dst) == empty {
		return dst[:start]
	}
	return append(dst, ']', '}')
}
