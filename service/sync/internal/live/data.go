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
	// newest are the entries at positions after floor, oldest first; last is the position of the newest entry.
	newest      []*Entry
	floor, last int64
	// prefs are the latest of those entries that the node itself obeys; version counts their changes.
	prefs   map[string]*Entry
	marks   map[string][]*syncpb.ReadMark
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

// putMark replaces the room's list of marks, which readers may hold, by a new one.
func (d *data) putMark(mark *syncpb.ReadMark) {
	if d.marks == nil {
		d.marks = map[string][]*syncpb.ReadMark{}
	}
	marks := slices.Clone(d.marks[mark.RoomId])
	for i, old := range marks {
		if old.ReceiptType != mark.ReceiptType || old.ThreadId != mark.ThreadId {
			continue
		}
		if old.EventSeq < mark.EventSeq {
			marks[i] = mark
			d.marks[mark.RoomId] = marks
		}
		return
	}
	d.marks[mark.RoomId] = append(marks, mark)
}

// remember adds an entry to the newest ones.
func (d *data) remember(e *Entry, limit int) {
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
	return u.data.marks[roomID]
}
