package room

import (
	"context"
	"fmt"

	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/eventlog"
	"hongyan/service/room/internal/state"
	"hongyan/service/room/internal/store"
)

// snapshot is a room at one sequence number. It is immutable.
type snapshot struct {
	roomID matrix.RoomID
	rules  *event.Rules
	// stream is the room's in the log; its Seq is the one that the snapshot is of.
	stream eventlog.Stream
	depth  int64
	// prev are the forward extremities: what the next event follows.
	prev  []matrix.EventID
	state state.State
	auth  authority
}

// keptTypes are the types whose events a snapshot keeps parsed; see state.Kept.
var keptTypes = [...]string{
	event.TypeCreate, event.TypePowerLevels, event.TypeJoinRules, event.TypeHistoryVisibility,
	event.TypeGuestAccess, event.TypeCanonicalAlias,
}

// load reads a room from the database; nil where there is no such room. Of a room whose earlier state is given, only
// what changed since is read.
func (s *Service) load(ctx context.Context, roomID string, earlier *snapshot) (*snapshot, error) {
	after := int64(0)
	if earlier != nil {
		after = earlier.stream.Seq
	}
	r, ok, err := s.store.LoadRoom(ctx, roomID, after, keptTypes[:])
	if err != nil || !ok {
		return nil, err
	}
	rules := event.RoomVersion(r.Version).Rules()
	if rules == nil {
		return nil, fmt.Errorf("load room %s: unknown room version %q", roomID, r.Version)
	}
	snap := &snapshot{
		roomID: matrix.RoomID(roomID), rules: rules, depth: r.Depth,
		stream: eventlog.Stream{ID: r.Room, Name: roomID, Shard: eventlog.ShardOf(roomID, s.log.Shards()), Seq: r.Seq},
	}
	for _, id := range r.Extremities {
		snap.prev = append(snap.prev, matrix.EventID(id))
	}
	entries, members, err := parseRows(rules.Version, r)
	if err != nil {
		return nil, fmt.Errorf("load room %s: %w", roomID, err)
	}
	if earlier == nil {
		snap.state = state.New(entries, members)
	} else {
		snap.state = earlier.state.With(entries, members)
	}
	if snap.auth, err = authorityOf(snap.state); err != nil {
		return nil, fmt.Errorf("load room %s: %w", roomID, err)
	}
	return snap, nil
}

func parseRows(version event.RoomVersion, r store.LoadedRoom) ([]*state.Entry, []*state.Member, error) {
	entries := make([]*state.Entry, len(r.State))
	for i, row := range r.State {
		e := &state.Entry{Type: row.Type, Key: row.Key, EventID: row.EventID, Seq: row.Seq}
		if len(row.JSON) > 0 {
			parsed, err := event.ParseWithID(version, matrix.EventID(row.EventID), row.JSON)
			if err != nil {
				return nil, nil, err
			}
			e.Event = parsed
		}
		entries[i] = e
	}
	members := make([]*state.Member, len(r.Members))
	for i, row := range r.Members {
		m := state.Member(row)
		m.Membership = internMembership(row.Membership)
		if m.Sender == m.UserID {
			m.Sender = m.UserID // one string in memory instead of two
		}
		members[i] = &m
	}
	return entries, members, nil
}

// internMembership returns the constant that equals the membership, so that members share it.
func internMembership(membership string) string {
	for _, m := range [...]string{state.Join, state.Invite, state.Knock, state.Leave, state.Ban} {
		if m == membership {
			return m
		}
	}
	return membership
}

// bytes estimates the memory that the snapshot takes.
func (s *snapshot) bytes() int { return liveSize + s.state.Bytes() }
