package live

import (
	"slices"
	"sort"

	"google.golang.org/protobuf/proto"

	syncpb "hongyan/api/sync"
	"hongyan/platform/eventlog"
)

// Entry is an entry of a user's log.
type Entry struct {
	Position int64
	// Data or Mark is set.
	Data *syncpb.AccountData
	Mark *syncpb.ReadMark
}

// RoomID is the room that the entry is about, "" for global account data.
func (e *Entry) RoomID() string {
	if e.Data != nil {
		return e.Data.RoomId
	}
	return e.Mark.RoomId
}

// DecodeEntry reads an entry of the user log; nil for kinds that are not shown.
func DecodeEntry(r *eventlog.Record) (*Entry, error) {
	e := &Entry{Position: r.Position}
	var err error
	switch r.Kind {
	case eventlog.Kind(syncpb.EntryKind_ENTRY_KIND_ACCOUNT_DATA):
		e.Data = &syncpb.AccountData{}
		err = proto.Unmarshal(r.Body, e.Data)
	case eventlog.Kind(syncpb.EntryKind_ENTRY_KIND_READ_MARK):
		e.Mark = &syncpb.ReadMark{}
		err = proto.Unmarshal(r.Body, e.Mark)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// data is what is in memory of a user's log. The user's lock guards it.
type data struct {
	// newest are the entries at positions after floor, of each the latest version, oldest first; last is the position of the newest entry.
	newest      []*Entry
	floor, last int64
	// prefs are the latest of those entries that the node itself obeys; version counts their changes.
	prefs   map[string]*Entry
	marks   map[string]*marks
	version uint64
	// derived is what Derive made of the preferences of derivedVersion.
	derived        any
	derivedVersion uint64
}

// Preferences of a user that the node itself obeys, global account data.
const (
	TypeIgnoredUsers     = "m.ignored_user_list"
	TypePushRules        = "m.push_rules"
	TypeInvitePermission = "m.invite_permission_config"
)

func isPreference(d *syncpb.AccountData) bool {
	return d.RoomId == "" && (d.Type == TypeIgnoredUsers || d.Type == TypePushRules || d.Type == TypeInvitePermission)
}

// put keeps an entry. Entries that are older than what is known change nothing.
func (d *data) put(e *Entry) {
	switch {
	case e.Mark != nil:
		d.putMark(e.Mark)
	case isPreference(e.Data):
		if d.prefs == nil {
			d.prefs = map[string]*Entry{}
		}
		if old := d.prefs[e.Data.Type]; old == nil || old.Position < e.Position {
			d.prefs[e.Data.Type] = e
			d.version++
		}
	}
	d.last = max(d.last, e.Position)
}

// marks are those of one room. A list that readers hold does not change.
type marks struct {
	list []*syncpb.ReadMark
	held bool
}

// maxMarks bounds the marks of a room. The log keeps fewer, but tells nobody which it has removed.
const maxMarks = 4096

// putMark keeps the mark of the later event; of too many that of the earliest event goes.
func (d *data) putMark(mark *syncpb.ReadMark) {
	if d.marks == nil {
		d.marks = map[string]*marks{}
	}
	m := d.marks[mark.RoomId]
	if m == nil {
		m = &marks{}
		d.marks[mark.RoomId] = m
	}
	i := slices.IndexFunc(m.list, func(old *syncpb.ReadMark) bool {
		return old.ReceiptType == mark.ReceiptType && old.ThreadId == mark.ThreadId
	})
	if i >= 0 && m.list[i].EventSeq >= mark.EventSeq {
		return
	}
	if m.held {
		m.list, m.held = slices.Clone(m.list), false
	}
	if i < 0 && len(m.list) >= maxMarks {
		i = earliestThreaded(m.list)
	}
	if i >= 0 {
		m.list[i] = mark
	} else {
		m.list = append(m.list, mark)
	}
}

// earliestThreaded finds the mark of the earliest event among those in threads.
func earliestThreaded(list []*syncpb.ReadMark) int {
	earliest := -1
	for i, m := range list {
		if m.ThreadId != "" && (earliest < 0 || m.EventSeq < list[earliest].EventSeq) {
			earliest = i
		}
	}
	return earliest
}

// replaces tells whether an entry is the next version of another one. As in the database, only the latest is shown.
func (e *Entry) replaces(old *Entry) bool {
	if e.Data != nil && old.Data != nil {
		return e.Data.Type == old.Data.Type && e.Data.RoomId == old.Data.RoomId
	}
	if e.Mark != nil && old.Mark != nil {
		a, b := e.Mark, old.Mark
		return a.RoomId == b.RoomId && a.ReceiptType == b.ReceiptType && a.ThreadId == b.ThreadId
	}
	return false
}

// remember adds an entry to the newest ones.
func (d *data) remember(e *Entry, limit int) {
	if i := slices.IndexFunc(d.newest, e.replaces); i >= 0 {
		d.newest = slices.Delete(d.newest, i, i+1)
	}
	d.newest = append(d.newest, e)
	if len(d.newest) > limit {
		d.floor = d.newest[0].Position
		d.newest = append(d.newest[:0:0], d.newest[1:]...)
	}
}

// Entries returns the entries of the user's log in (after, through], oldest first. It fails where memory does not reach
// back so far and something may have come since: ask the database.
func (u *User) Entries(after, through int64) (entries []*Entry, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if after >= u.data.last {
		return nil, true
	}
	if after < u.data.floor {
		return nil, false
	}
	i := sort.Search(len(u.data.newest), func(i int) bool { return u.data.newest[i].Position > after })
	for _, e := range u.data.newest[i:] {
		if e.Position <= through {
			entries = append(entries, e)
		}
	}
	return entries, true
}

// Newest is the position of the newest entry of the user's log that was applied.
func (u *User) Newest() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.data.last
}

// Derive returns what make makes of the user's preferences, by type: made anew only when one has changed.
func (u *User) Derive(make func(preferences map[string][]byte) any) any {
	u.mu.Lock()
	if u.data.derived != nil && u.data.derivedVersion == u.data.version {
		defer u.mu.Unlock()
		return u.data.derived
	}
	version := u.data.version
	preferences := map[string][]byte{}
	for eventType, e := range u.data.prefs {
		preferences[eventType] = e.Data.Content
	}
	u.mu.Unlock()
	derived := make(preferences)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.data.derived, u.data.derivedVersion = derived, version
	return derived
}

// Marks returns how far the user has read a room: of each receipt type and thread the newest. The list does not change;
// after news it is another one.
func (u *User) Marks(roomID string) []*syncpb.ReadMark {
	u.mu.Lock()
	defer u.mu.Unlock()
	m := u.data.marks[roomID]
	if m == nil {
		return nil
	}
	m.held = true
	return m.list
}
