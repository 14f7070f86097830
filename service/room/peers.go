package room

import (
	"context"
	"maps"
	"slices"

	roompb "hongyan/api/room"
	"hongyan/matrix/event"
	"hongyan/service/room/internal/store"
)

// Peers implements roompb.RoomServer.
func (r roomServer) Peers(ctx context.Context, req *roompb.PeersRequest) (*roompb.PeersResponse, error) {
	if !isText(req.GetUserId()) {
		return &roompb.PeersResponse{}, nil
	}
	p := &peers{
		reads: r.s.reads, user: req.GetUserId(), after: r.s.reads.moment(req.GetAfter()), through: r.s.reads.moment(req.GetThrough()),
		now: r.s.reads.moment(req.GetThrough()) == nil, all: req.GetAll(),
	}
	for _, u := range req.GetUsers() {
		if isText(u) {
			p.asked = append(p.asked, u)
		}
	}
	if err := p.readRooms(ctx); err != nil {
		return nil, err
	}
	if err := p.readMembers(ctx); err != nil {
		return nil, err
	}
	return p.answer(), nil
}

// moment returns the positions of a moment; nil if it says nothing about the log as it is.
func (r *reads) moment(m *roompb.Moment) map[int32]int64 {
	if m == nil || m.GetEpoch() != r.log.Epoch() {
		return nil
	}
	if m.Positions == nil {
		return map[int32]int64{}
	}
	return m.Positions
}

// peers works out with whom a user shares an encrypted room at two moments. All it reads may be newer than either: what
// changed since is looked up as it was, in the deltas of the state.
type peers struct {
	*reads
	user           string
	after, through map[int32]int64
	now, all       bool
	asked          []string

	// rooms are those that are encrypted and the user's at one of the moments.
	rooms map[int64]*peerRoom
	// whole tells that every member of the rooms is to be looked at.
	whole bool
	// before and since are with whom a room is shared at the moments.
	before, since map[string]bool
}

// peerRoom is a room with its sequence numbers at both moments, and whether it is encrypted and the user joined then.
type peerRoom struct {
	store.EncryptedRoom
	seqs   [2]int64
	shared [2]bool
}

// readRooms finds the rooms.
func (p *peers) readRooms(ctx context.Context) error {
	encrypted, err := p.store.EncryptedRooms(ctx, p.user)
	if err != nil {
		return err
	}
	rooms := make([]peerRoom, len(encrypted))
	var at []store.RoomPosition
	var into []*int64
	for i, e := range encrypted {
		rooms[i].EncryptedRoom = e
		positions := [2]int64{p.after[int32(e.Shard)], p.through[int32(e.Shard)]}
		for m, position := range positions {
			switch {
			case position >= e.HeadPosition || m == 1 && p.now:
				rooms[i].seqs[m] = e.Seq
			case position > 0:
				at, into = append(at, store.RoomPosition{Room: e.ID, Position: position}), append(into, &rooms[i].seqs[m])
			}
		}
	}
	seqs, err := p.store.SeqsAt(ctx, at)
	if err != nil {
		return err
	}
	for i, seq := range seqs {
		*into[i] = seq
	}
	return p.keepShared(ctx, rooms)
}

// keepShared keeps the rooms that were the user's and encrypted at one of the moments.
func (p *peers) keepShared(ctx context.Context, rooms []peerRoom) error {
	var own earlier
	for i := range rooms {
		e := &rooms[i]
		for m, seq := range e.seqs {
			if e.EncryptedSeq > 0 && e.EncryptedSeq <= seq {
				own.ask(store.Membership{Room: e.ID, UserID: p.user, Membership: e.Membership, Seq: e.MemberSeq}, seq, func() { e.shared[m] = true })
			}
		}
	}
	if err := own.read(ctx, p.store); err != nil {
		return err
	}
	p.rooms, p.whole = map[int64]*peerRoom{}, p.all
	for i := range rooms {
		if e := &rooms[i]; e.shared[0] || e.shared[1] {
			p.rooms[e.ID] = e
			p.whole = p.whole || e.shared[0] != e.shared[1]
		}
	}
	return nil
}

// readMembers finds who else is joined to the rooms at both moments.
func (p *peers) readMembers(ctx context.Context) error {
	rows, err := p.memberships(ctx)
	if err != nil {
		return err
	}
	sets := [2]map[string]bool{{}, {}}
	var others earlier
	for _, row := range rows {
		room := p.rooms[row.Room]
		if row.UserID == p.user || room == nil {
			continue
		}
		for m, seq := range room.seqs {
			if room.shared[m] {
				others.ask(row, seq, func() { sets[m][row.UserID] = true })
			}
		}
	}
	if err := others.read(ctx, p.store); err != nil {
		return err
	}
	p.before, p.since = sets[0], sets[1]
	return nil
}

// memberships reads the memberships in the rooms of all who may be in the answer.
func (p *peers) memberships(ctx context.Context) ([]store.Membership, error) {
	ids := slices.Collect(maps.Keys(p.rooms))
	slices.Sort(ids)
	var rooms []store.RoomSeq
	if p.whole {
		for _, id := range ids {
			room := p.rooms[id]
			since := room.seqs[1] // who was in it before does not matter
			if room.shared[0] {
				since = min(since, room.seqs[0])
			}
			rooms = append(rooms, store.RoomSeq{Room: id, Seq: since})
		}
		return p.store.MembersSince(ctx, rooms)
	}
	for _, id := range ids {
		if room := p.rooms[id]; room.Seq > room.seqs[0] {
			rooms = append(rooms, store.RoomSeq{Room: id, Seq: room.seqs[0]})
		}
	}
	changed, err := p.store.ChangedMembers(ctx, rooms)
	if err != nil {
		return nil, err
	}
	users := slices.Clone(p.asked)
	for _, m := range changed {
		users = append(users, m.UserID)
	}
	slices.Sort(users)
	return p.store.MembershipsOf(ctx, ids, slices.Compact(users))
}

// answer sorts the users.
func (p *peers) answer() *roompb.PeersResponse {
	resp := &roompb.PeersResponse{}
	asked := make(map[string]bool, len(p.asked))
	for _, u := range p.asked {
		asked[u] = true
	}
	for _, u := range slices.Sorted(maps.Keys(p.since)) {
		if p.all || asked[u] {
			resp.Shared = append(resp.Shared, u)
		}
		if !p.before[u] {
			resp.Began = append(resp.Began, u)
		}
	}
	for _, u := range slices.Sorted(maps.Keys(p.before)) {
		if !p.since[u] {
			resp.Ended = append(resp.Ended, u)
		}
	}
	return resp
}

// earlier gathers questions whether users were joined to rooms as of sequence numbers.
type earlier struct {
	at   []store.MemberAtSeq
	then []func()
}

// ask calls joined, at once or when the answers were read, if the user was joined as of a sequence number.
func (e *earlier) ask(now store.Membership, seq int64, joined func()) {
	switch {
	case now.Seq > seq && seq > 0:
		e.at = append(e.at, store.MemberAtSeq{Room: now.Room, UserID: now.UserID, Seq: seq})
		e.then = append(e.then, joined)
	case now.Seq <= seq && now.Membership == string(event.Join):
		joined()
	}
}

// read reads what the present memberships do not tell.
func (e *earlier) read(ctx context.Context, reader *store.Reader) error {
	events, err := reader.MemberEventsAt(ctx, e.at)
	if err != nil {
		return err
	}
	for i, pdu := range events {
		if pdu != nil && membershipIn(pdu) == event.Join {
			e.then[i]()
		}
	}
	return nil
}

// EncryptedRooms implements roompb.RoomServer.
func (r roomServer) EncryptedRooms(
	ctx context.Context, req *roompb.EncryptedRoomsRequest,
) (*roompb.EncryptedRoomsResponse, error) {
	users, err := asked(req.GetUserIds())
	if err != nil {
		return nil, err
	}
	rows, err := r.s.reads.store.EncryptedRoomsOf(ctx, users)
	if err != nil {
		return nil, err
	}
	resp := &roompb.EncryptedRoomsResponse{}
	var of *roompb.EncryptedRoomsOf
	for _, row := range rows {
		if of == nil || of.UserId != row.UserID {
			of = &roompb.EncryptedRoomsOf{UserId: row.UserID}
			resp.Users = append(resp.Users, of)
		}
		if row.Joined {
			of.RoomIds = append(of.RoomIds, row.RoomID)
		} else {
			of.FormerRoomIds = append(of.FormerRoomIds, row.RoomID)
		}
	}
	return resp, nil
}
