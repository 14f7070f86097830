//go:build goolm

package e2e_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// device is a person's device that encrypts. It decrypts each message when it comes and asks nobody for keys that it lacks: the
// server hands out a key no later than the messages that need it.
type device struct {
	*person
	name  string
	mach  *crypto.OlmMachine
	state *mautrix.MemoryStateStore
	sas   *comparison
	// turn is held by whoever uses mach, which is not made for a sender beside the sync loop: a session that is being
	// shared with the devices of old must not be kept when the loop has just heard of a new one.
	turn  sync.Mutex
	loop  serial
	leave func()
	// visits are where in seen a stay in a room begins: who joins is shown what was said before, also what they saw on an
	// earlier visit.
	visits map[id.RoomID][]int
}

// serial processes answers of /sync in the device's turn, each to its end.
type serial struct {
	eager
	d *device
}

func (s serial) ProcessResponse(ctx context.Context, res *mautrix.RespSync, since string) error {
	s.d.turn.Lock()
	defer s.d.turn.Unlock()
	ctx = context.WithoutCancel(ctx)
	if since == "" { // from here on it hears of changes
		if _, err := s.d.mach.FetchKeys(ctx, []id.UserID{s.d.UserID}, true); err != nil {
			return err
		}
	}
	for room, joined := range res.Rooms.Join {
		s.d.mu.Lock()
		if slices.ContainsFunc(joined.Timeline.Events, s.d.joins) {
			s.d.visits[room] = append(s.d.visits[room], len(s.d.seen[room]))
		}
		s.d.mu.Unlock()
	}
	return s.eager.ProcessResponse(ctx, res, since)
}

func (d *device) joins(e *event.Event) bool {
	return e.Type.Type == event.StateMember.Type && e.GetStateKey() == d.UserID.String() && e.Content.Raw["membership"] == "join"
}

// encrypting uploads the keys of a person's device and starts its sync loop, which ends with the test.
func (s *scene) encrypting(t *testing.T, p *person, name string) *device {
	t.Helper()
	d := &device{
		person: p, name: name, state: mautrix.NewMemoryStateStore().(*mautrix.MemoryStateStore), visits: map[id.RoomID][]int{},
	}
	d.state.JoinRules = map[id.RoomID]*event.JoinRulesEventContent{} // mautrix-go v0.26.0 forgets it
	p.StateStore, p.DefaultHTTPBackoff = d.state, 50*time.Millisecond
	d.mach = crypto.NewOlmMachine(p.Client, nil, crypto.NewMemoryStore(nil), d.state)
	require.NoError(t, d.mach.Load(t.Context()))
	require.NoError(t, d.mach.ShareKeys(t.Context(), -1))
	p.Crypto = d

	d.loop = serial{p.syncer(), d}
	d.loop.OnSync(d.mach.ProcessSyncResponse)
	d.loop.OnEvent(p.StateStoreSyncHandler)
	d.loop.OnEventType(event.StateMember, d.mach.HandleMemberEvent)
	d.loop.OnEventType(event.EventEncrypted, d.hear)
	p.Syncer = d.loop
	d.compare(t)
	d.online(context.Background())
	t.Cleanup(d.offline)
	return d
}

// login is a further device of an account. Log-ins are what no gateway repeats.
func (s *scene) login(t *testing.T, name, device string) *device {
	t.Helper()
	p := s.person(t)
	until(t, "log in as "+name, func() bool {
		_, err := p.Login(t.Context(), &mautrix.ReqLogin{
			Type: mautrix.AuthTypePassword, Identifier: mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: name},
			Password: "secret of " + name, InitialDeviceDisplayName: device, StoreCredentials: true,
		})
		return err == nil
	})
	return s.encrypting(t, p, device)
}

// online starts the sync loop, which takes from ctx how often its requests are repeated.
func (d *device) online(ctx context.Context) { d.leave = d.start(ctx, d.loop) }

// offline ends the sync loop.
func (d *device) offline() { d.leave() }

// do does something with the device in its turn.
func (d *device) do(f func() error) error {
	d.turn.Lock()
	defer d.turn.Unlock()
	return f()
}

// hear decrypts a message and lets the loop see it. What it cannot decrypt stays among what was seen as it is.
func (d *device) hear(ctx context.Context, e *event.Event) {
	if e.Mautrix.EventSource&event.SourceTimeline == 0 {
		return
	}
	plain, err := d.mach.DecryptMegolmEvent(ctx, e)
	if err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		e.Content.Raw["why"] = err.Error()
		return
	}
	plain.Mautrix.EventSource |= e.Mautrix.EventSource | event.SourceDecrypted
	d.loop.Dispatch(ctx, plain)
}

// heard are the messages of a room that the device understood, in order, and why it did not understand others.
func (d *device) heard(room id.RoomID) (order []id.EventID, garbled map[id.EventID]string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	garbled = map[id.EventID]string{}
	for _, e := range d.seen[room] {
		switch e.Type {
		case event.EventEncrypted:
			if why, ok := e.Content.Raw["why"].(string); ok {
				garbled[e.ID] = why
			}
		case event.EventMessage:
			order = append(order, e.ID)
		}
	}
	return order, garbled
}

// knows tells whether the device knows who is in an encrypted room with which devices. Of whom it never sent anything it
// asks when it sends.
func (d *device) knows(ctx context.Context, room id.RoomID, want map[id.UserID][]id.DeviceID) bool {
	d.turn.Lock()
	defer d.turn.Unlock()
	if encrypted, err := d.state.IsEncrypted(ctx, room); err != nil || !encrypted || len(d.members(ctx, room)) != len(want) {
		return false
	}
	for _, user := range d.members(ctx, room) {
		devices, err := d.mach.CryptoStore.GetDevices(ctx, user)
		if err != nil || want[user] == nil || devices != nil && !slices.Equal(slices.Sorted(maps.Keys(devices)), want[user]) {
			return false
		}
	}
	return true
}

// members are who reads a room, as far as the device knows.
func (d *device) members(ctx context.Context, room id.RoomID) []id.UserID {
	all, _ := d.state.GetAllMembers(ctx, room) // memory does not fail
	var users []id.UserID
	for user, m := range all {
		if m.Membership == event.MembershipJoin || m.Membership == event.MembershipInvite {
			users = append(users, user)
		}
	}
	return users
}

// Encrypt implements mautrix.CryptoHelper. (mautrix-go's own helper takes cgo, asks others for keys that are late, and shares
// them with whoever left.)
func (d *device) Encrypt(ctx context.Context, room id.RoomID, kind event.Type, content any) (*event.EncryptedEventContent, error) {
	encrypted, err := d.mach.EncryptMegolmEvent(ctx, room, kind, content)
	if err == nil || !crypto.IsShareError(err) {
		return encrypted, err
	}
	if err := d.mach.ShareGroupSession(ctx, room, d.members(ctx, room)); err != nil {
		return nil, err
	}
	return d.mach.EncryptMegolmEvent(ctx, room, kind, content)
}

// Decrypt implements mautrix.CryptoHelper.
func (d *device) Decrypt(ctx context.Context, e *event.Event) (*event.Event, error) {
	return d.mach.DecryptMegolmEvent(ctx, e)
}

// WaitForSession implements mautrix.CryptoHelper: nothing is waited for.
func (d *device) WaitForSession(context.Context, id.RoomID, id.SenderKey, id.SessionID, time.Duration) bool {
	return false
}

// RequestSession implements mautrix.CryptoHelper: nothing is asked for.
func (d *device) RequestSession(context.Context, id.RoomID, id.SenderKey, id.SessionID, id.UserID, id.DeviceID) {
}

// Init implements mautrix.CryptoHelper.
func (d *device) Init(context.Context) error { return errors.ErrUnsupported }

// until waits until the answer is yes.
func until(t *testing.T, what string, yes func() bool) {
	t.Helper()
	require.Eventually(t, yes, time.Minute, 20*time.Millisecond, "%s", what)
}
