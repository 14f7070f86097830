package room

import (
	"context"
	"slices"
	"time"

	syncpb "hongyan/api/sync"
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/eventlog"
	"hongyan/service/room/internal/lru"
	"hongyan/service/room/internal/store"
)

// reads answers what others want to know of rooms, from the database as it is when they ask. All that it keeps in
// memory is what users and visibility once were, which never changes.
type reads struct {
	log         *eventlog.Log
	store       *store.Reader
	clock       func() time.Time
	visibility  *lru.Cache[int64, track[event.HistoryVisibility]]
	memberships *lru.Cache[memberKey, track[event.Membership]]
	receipts    *receipts
	// data tells whom users ignore; nil where nobody is ignored. ignored is what it told last.
	data    syncpb.SyncClient
	ignored *lru.Cache[string, map[string]struct{}]
}

type memberKey struct {
	room   int64
	userID string
}

// Memory for tracks, in bytes. A track of a few changes is some 200 bytes, so this is enough for 100,000 readers.
const (
	visibilityCacheBytes = 8 << 20
	membershipCacheBytes = 24 << 20
)

// receiptTimeout bounds one write of receipts.
func newReads(log *eventlog.Log, clock func() time.Time, receiptTimeout time.Duration) *reads {
	reader := store.NewReader(log.DB())
	return &reads{
		log: log, store: reader, clock: clock, receipts: newReceipts(log, reader, receiptTimeout),
		ignored: lru.New(ignoredCacheBytes, ignoredBytes),
		visibility: lru.New(visibilityCacheBytes, func(_ int64, t track[event.HistoryVisibility]) int64 {
			return trackBytes(len(t.changes))
		}),
		memberships: lru.New(membershipCacheBytes, func(k memberKey, t track[event.Membership]) int64 {
			return trackBytes(len(t.changes)) + int64(len(k.userID))
		}),
	}
}

func trackBytes(changes int) int64 { return 160 + 24*int64(changes) }

// view is a room as one user sees it at one moment.
type view struct {
	store.View
	*perspective
	version event.RoomVersion
	userID  string
}

// stream is the room's in the log.
func (v *view) stream() eventlog.Stream {
	return eventlog.Stream{ID: v.ID, Name: v.Name, Shard: v.Shard, Seq: v.Seq}
}

// view reads a room for a user as it is now; nil where there is no such room.
func (r *reads) view(ctx context.Context, roomID, userID string) (*view, error) {
	v, err := r.open(ctx, roomID, userID)
	if err != nil || v == nil {
		return nil, err
	}
	return v, r.look(ctx, v, v.Seq)
}

// open reads a room for a user without working out what they may see; nil where there is no such room.
func (r *reads) open(ctx context.Context, roomID, userID string) (*view, error) {
	if !isText(roomID) || !isText(userID) {
		return nil, nil
	}
	stored, ok, err := r.store.View(ctx, roomID, userID)
	if err != nil || !ok {
		return nil, err
	}
	return &view{View: stored, version: event.RoomVersion(stored.Version), userID: userID}, nil
}

// look works out what the user may see of an open room, as of the event at seq: later ones are not known then.
func (r *reads) look(ctx context.Context, v *view, seq int64) error {
	visibility, err := r.visibilityOf(ctx, &v.View)
	if err != nil {
		return err
	}
	membership, err := r.membershipOf(ctx, &v.View, v.userID)
	if err != nil {
		return err
	}
	v.perspective = newPerspective(min(seq, v.Seq), visibility, membership)
	return nil
}

func (r *reads) visibilityOf(ctx context.Context, v *store.View) (track[event.HistoryVisibility], error) {
	t, ok := r.visibility.Get(v.ID)
	if !ok {
		t.initial = event.VisibilityShared
	}
	if t.newest >= v.VisibilitySeq {
		return t, nil
	}
	changes, err := r.store.Changes(ctx, v.ID, event.TypeHistoryVisibility, "", t.newest, v.Seq)
	if err != nil {
		return t, err
	}
	for _, c := range changes {
		t = t.extend(c.Seq, event.ParseHistoryVisibility(contentString(c.PDU, "history_visibility")))
	}
	r.visibility.Put(v.ID, t)
	return t, nil
}

// membershipOf returns the user's membership over time. For who forgot the room, their time there up to then is as if it
// had never been; only joining once more brings it back.
func (r *reads) membershipOf(ctx context.Context, v *store.View, userID string) (track[event.Membership], error) {
	none := track[event.Membership]{initial: event.Leave}
	if v.ForgottenSeq >= v.MemberSeq {
		return none, nil
	}
	key := memberKey{v.ID, userID}
	t, ok := r.memberships.Get(key)
	if !ok {
		t = none
	}
	if t.newest >= v.MemberSeq {
		return remembered(t, v.ForgottenSeq), nil
	}
	changes, err := r.store.Changes(ctx, v.ID, event.TypeMember, userID, t.newest, v.Seq)
	if err != nil {
		return t, err
	}
	for _, c := range changes {
		t = t.extend(c.Seq, membershipIn(c.PDU))
	}
	r.memberships.Put(key, t)
	return remembered(t, v.ForgottenSeq), nil
}

// remembered returns what is left of a membership that was forgotten up to a sequence number.
func remembered(t track[event.Membership], forgotten int64) track[event.Membership] {
	later := t.after(forgotten)
	if forgotten == 0 || slices.ContainsFunc(later, func(c turn[event.Membership]) bool { return c.value == event.Join }) {
		return t
	}
	return track[event.Membership]{initial: event.Leave, changes: later, newest: t.newest}
}

// membershipIn reads the membership of a member event; one without counts as having left.
func membershipIn(pdu []byte) event.Membership {
	if m := event.Membership(contentString(pdu, "membership")); m.Valid() {
		return m
	}
	return event.Leave
}

// errNoAccess is the answer of a room that the reader may not read, be it there or not.
func errNoAccess() error {
	return matrix.NewError(matrix.CodeForbidden, "You are not in this room.")
}

// errNoEvent is the answer of an event that is not there or not for the reader.
func errNoEvent() error {
	return matrix.NewError(matrix.CodeNotFound, "There is no such event that you can see.")
}
