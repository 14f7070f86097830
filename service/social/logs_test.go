package social_test

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	identitypb "hongyan/api/identity"
	logpb "hongyan/api/log"
	roompb "hongyan/api/room"
	syncpb "hongyan/api/sync"
	"hongyan/platform/bus"
	"hongyan/platform/eventlog"
	"hongyan/platform/eventlog/logrpc"
)

// logShards is how many shards the logs have.
const logShards = 4

// memoryLog is a log of another service, in memory.
type memoryLog struct {
	logpb.LogClient
	name string
	wake func(shard int, head int64)

	mu     sync.Mutex
	epoch  uint64
	shards [][]*logpb.Record
	// down is what all calls are answered; nil for nothing.
	down error
	// begun counts how often a shard was read from its beginning.
	begun int
	// asked is called for each call.
	asked func()
}

func newMemoryLog(name string, wakes bus.Bus) *memoryLog {
	l := &memoryLog{name: name, epoch: 7, shards: make([][]*logpb.Record, logShards), wake: func(int, int64) {}, asked: func() {}}
	if wakes != nil {
		l.wake = logrpc.Waker(wakes, name)
	}
	return l
}

// add appends a record to a stream.
func (l *memoryLog) add(stream string, kind int32, doc string) {
	l.append(&logpb.Record{Stream: stream, Kind: kind, Doc: []byte(doc)})
}

// addBody is add for what is no event.
func (l *memoryLog) addBody(stream string, kind int32, body []byte) {
	l.append(&logpb.Record{Stream: stream, Kind: kind, Body: body})
}

func (l *memoryLog) append(record *logpb.Record) {
	stream := record.GetStream()
	shard := eventlog.ShardOf(stream, logShards)
	l.mu.Lock()
	head := int64(len(l.shards[shard]) + 1)
	record.Position, record.Ref = head, fmt.Sprintf("$%d-%d", shard, head)
	l.shards[shard] = append(l.shards[shard], record)
	l.mu.Unlock()
	l.wake(shard, head)
}

// restore makes it the log that it was when there were so many records in each shard, with another epoch.
func (l *memoryLog) restore(keep int, epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch = epoch
	for i, records := range l.shards {
		l.shards[i] = records[:min(keep, len(records))]
	}
}

func (l *memoryLog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = err
}

func (l *memoryLog) begunSoFar() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.begun
}

// Heads implements logpb.LogClient.
func (l *memoryLog) Heads(context.Context, *logpb.HeadsRequest, ...grpc.CallOption) (*logpb.HeadsResponse, error) {
	l.asked()
	l.mu.Lock()
	defer l.mu.Unlock()
	h := &logpb.HeadsResponse{Epoch: l.epoch}
	for _, records := range l.shards {
		h.Shard = append(h.Shard, int64(len(records)))
	}
	return h, l.down
}

// Read implements logpb.LogClient.
func (l *memoryLog) Read(_ context.Context, req *logpb.ReadRequest, _ ...grpc.CallOption) (*logpb.ReadResponse, error) {
	l.asked()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down != nil {
		return nil, l.down
	}
	if req.GetAfter() == 0 {
		l.begun++
	}
	records := l.shards[req.GetShard()]
	if req.GetAfter() >= int64(len(records)) {
		return &logpb.ReadResponse{Through: int64(len(records))}, nil
	}
	through := min(req.GetAfter()+int64(req.GetLimit()), int64(len(records)))
	return &logpb.ReadResponse{Records: records[req.GetAfter():through], Through: through}, nil
}

// people is the identity service as social sees it.
type people struct {
	identitypb.IdentityClient
	*memoryLog

	accounts sync.Mutex
	users    map[string]*identitypb.User
	profiles map[string]*identitypb.Profile
}

func newPeople(wakes bus.Bus) *people {
	return &people{
		memoryLog: newMemoryLog("identity", wakes), users: map[string]*identitypb.User{}, profiles: map[string]*identitypb.Profile{},
	}
}

// register makes a user whose name is name, without one where that is empty.
func (p *people) register(user, name string) {
	p.accounts.Lock()
	id := userID(user)
	p.users[id] = &identitypb.User{UserId: id}
	p.profiles[id] = &identitypb.Profile{UserId: id}
	if name != "" {
		p.profiles[id].DisplayName = &name
	}
	p.accounts.Unlock()
	p.tell(user, identitypb.UserEventKind_USER_EVENT_KIND_REGISTERED)
}

func (p *people) rename(user, name string) {
	p.accounts.Lock()
	p.profiles[userID(user)] = &identitypb.Profile{UserId: userID(user), DisplayName: &name}
	p.accounts.Unlock()
	p.tell(user, identitypb.UserEventKind_USER_EVENT_KIND_PROFILE_CHANGED)
}

// setAvatar gives a user a picture.
func (p *people) setAvatar(user, avatar string) {
	p.accounts.Lock()
	p.profiles[userID(user)].AvatarUrl = &avatar
	p.accounts.Unlock()
	p.tell(user, identitypb.UserEventKind_USER_EVENT_KIND_PROFILE_CHANGED)
}

// become changes the state of an account.
func (p *people) become(user string, kind identitypb.UserEventKind, change func(*identitypb.User)) {
	p.accounts.Lock()
	change(p.users[userID(user)])
	p.accounts.Unlock()
	p.tell(user, kind)
}

// forget makes an account one that never was, as a restored backup does.
func (p *people) forget(user string) {
	p.accounts.Lock()
	defer p.accounts.Unlock()
	delete(p.users, userID(user))
	delete(p.profiles, userID(user))
}

func (p *people) tell(user string, kind identitypb.UserEventKind) {
	p.add(userID(user), int32(kind), "")
}

// Users implements identitypb.IdentityClient.
func (p *people) Users(_ context.Context, req *identitypb.UsersRequest, _ ...grpc.CallOption) (*identitypb.UsersResponse, error) {
	p.accounts.Lock()
	defer p.accounts.Unlock()
	resp := &identitypb.UsersResponse{}
	for _, id := range req.GetUserIds() {
		if u := p.users[id]; u != nil {
			// A copy, since accounts change. Of a message only its fields are copied.
			resp.Users = append(resp.Users, &identitypb.User{
				UserId: id, Deactivated: u.GetDeactivated(), Locked: u.GetLocked(), Suspended: u.GetSuspended(), Guest: u.GetGuest(),
			})
		}
	}
	return resp, nil
}

// Profiles implements identitypb.IdentityClient.
func (p *people) Profiles(
	_ context.Context, req *identitypb.ProfilesRequest, _ ...grpc.CallOption,
) (*identitypb.ProfilesResponse, error) {
	p.accounts.Lock()
	defer p.accounts.Unlock()
	resp := &identitypb.ProfilesResponse{}
	for _, id := range req.GetUserIds() {
		if f := p.profiles[id]; f != nil {
			resp.Profiles = append(resp.Profiles, &identitypb.Profile{UserId: id, DisplayName: f.DisplayName, AvatarUrl: f.AvatarUrl})
		}
	}
	return resp, nil
}

// rooms is the room service as social sees it.
type rooms struct{ *memoryLog }

// state appends a state event to a room.
func (r rooms) state(room, typ, key, content string) {
	r.add(roomID(room), int32(roompb.EntryKind_ENTRY_KIND_EVENT), fmt.Sprintf(`{"type":%q,"state_key":%q,"content":%s}`, typ, key, content))
}

// purge removes a room, as an administrator does: what was in the log of it, and then it is told.
func (r rooms) purge(room string) {
	shard := eventlog.ShardOf(roomID(room), logShards)
	r.mu.Lock()
	for _, record := range r.shards[shard] {
		if record.GetStream() == roomID(room) {
			record.Kind, record.Doc = 0, nil
		}
	}
	r.mu.Unlock()
	body, err := proto.Marshal(&roompb.Purged{Room: true})
	if err != nil {
		panic(err)
	}
	r.addBody(roomID(room), int32(roompb.EntryKind_ENTRY_KIND_PURGED), body)
}

// member makes a user be something in a room.
func (r rooms) member(room, user, membership string) {
	r.state(room, "m.room.member", userID(user), `{"membership":"`+membership+`"}`)
}

func (r rooms) joinRule(room, rule string) {
	r.state(room, "m.room.join_rules", "", `{"join_rule":"`+rule+`"}`)
}

func (r rooms) history(room, visibility string) {
	r.state(room, "m.room.history_visibility", "", `{"history_visibility":"`+visibility+`"}`)
}

// room makes a room with a join rule and members.
func (r rooms) room(room, rule string, users ...string) {
	r.state(room, "m.room.create", "", `{}`)
	r.joinRule(room, rule)
	for _, u := range users {
		r.member(room, u, "join")
	}
}

// ignores is the service sync as social sees it: whom users ignore.
type ignores struct {
	syncpb.SyncClient

	mu      sync.Mutex
	content map[string]string
	down    error
}

func (i *ignores) set(user, content string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.content[userID(user)] = content
}

func (i *ignores) fail(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = err
}

// AccountData implements syncpb.SyncClient.
func (i *ignores) AccountData(
	_ context.Context, req *syncpb.AccountDataRequest, _ ...grpc.CallOption,
) (*syncpb.AccountDataResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	resp := &syncpb.AccountDataResponse{}
	if c := i.content[req.GetUserId()]; c != "" {
		resp.Data = append(resp.Data, &syncpb.AccountData{Type: req.GetTypes()[0], Content: []byte(c)})
	}
	return resp, i.down
}

func userID(name string) string { return "@" + name + ":hs" }

func roomID(name string) string { return "!" + name }
