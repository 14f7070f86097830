package keys

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"slices"

	"google.golang.org/protobuf/proto"

	identitypb "hongyan/api/identity"
	keyspb "hongyan/api/keys"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/service/keys/internal/store"
)

// maxToDevice is the largest body of a request to send messages, in bytes: clients send some hundreds at once.
const maxToDevice = 4 << 20

const (
	// bulkyBytes is how large messages are together, in bytes, of which only maxBulky requests are served at once.
	bulkyBytes = 1 << 20
	maxBulky   = 8
)

// toDeviceBindings are the routes of messages to devices.
func (s *Service) toDeviceBindings() []httpx.Binding {
	return []httpx.Binding{{
		Route: httpx.Route{
			Method: http.MethodPut, Path: clientPath + "/sendToDevice/{eventType}/{txnId}", Key: httpx.KeyUser, MaxBody: maxToDevice,
		},
		Handler: s.putToDevice,
	}}
}

// putToDevice answers PUT /sendToDevice/{eventType}/{txnId}. Suspended accounts may: their devices verify each other.
func (s *Service) putToDevice(w http.ResponseWriter, r *http.Request) error {
	q, err := s.readToDevice(r)
	if err != nil {
		return err
	}
	if err := s.sendToDevice(r.Context(), q); err != nil {
		return apiError(err)
	}
	httpx.WriteRawJSON(w, http.StatusOK, []byte("{}"))
	return nil
}

// mail is what one request sends to one user.
type mail struct {
	user string
	// entries are those of the devices, in their order.
	devices []string
	entries []eventlog.Entry
}

// sendToDevice puts messages into the queues of devices: those of each recipient as a whole, and once. When it returns nil, all
// are there.
func (s *Service) sendToDevice(ctx context.Context, q *toDevice) error {
	devices, err := s.devicesOf(ctx, q)
	if err != nil {
		return err
	}
	mails, nobody, size, err := s.address(q, devices)
	if err != nil {
		return err
	}
	if size > bulkyBytes {
		select {
		case s.bulky <- struct{}{}:
			defer func() { <-s.bulky }()
		case <-ctx.Done():
			return fmt.Errorf("send much to devices: %w: %w", eventlog.ErrUnavailable, ctx.Err())
		}
	}
	if err := s.noteUnreached(ctx, q, nobody); err != nil {
		return err
	}
	return s.deliver(ctx, q, mails)
}

// noteUnreached notes that a request has reached none of users, so that a repeat is not delivered to a device that came meanwhile.
// Users who do not exist are not noted: anybody could name as many as they like.
func (s *Service) noteUnreached(ctx context.Context, q *toDevice, users []string) error {
	var scopes []string
	for some := range slices.Chunk(users, maxAskedUsers) {
		resp, err := s.deps.Identity.Users(ctx, &identitypb.UsersRequest{UserIds: some})
		if err != nil {
			return fmt.Errorf("ask for users: %w", err)
		}
		for _, u := range resp.GetUsers() {
			scopes = append(scopes, q.txn(u.GetUserId()).Scope)
		}
	}
	slices.Sort(scopes)
	return s.users.PutTxns(ctx, q.txn(""), scopes)
}

// devicesOf asks identity for the devices that a request may be for, by user. Those of other servers are none.
func (s *Service) devicesOf(ctx context.Context, q *toDevice) (map[string][]*identitypb.Device, error) {
	req := &identitypb.DevicesRequest{}
	for user, messages := range q.messages {
		if len(messages) == 0 || !s.isLocal(user) {
			continue
		}
		of := &identitypb.DevicesOfUser{UserId: user}
		if _, all := messages[everyDevice]; !all {
			for id := range messages {
				of.DeviceIds = append(of.DeviceIds, id)
			}
		}
		req.Users = append(req.Users, of)
	}
	devices := make(map[string][]*identitypb.Device, len(req.Users))
	for users := range slices.Chunk(req.Users, maxAskedUsers) {
		resp, err := s.deps.Identity.Devices(ctx, &identitypb.DevicesRequest{Users: users})
		if err != nil {
			return nil, fmt.Errorf("ask for devices: %w", err)
		}
		for _, d := range resp.GetDevices() {
			devices[d.GetUserId()] = append(devices[d.GetUserId()], d)
		}
	}
	return devices, nil
}

// isLocal tells whether a user is of this server.
func (s *Service) isLocal(user string) bool { return matrix.UserID(user).Server() == s.deps.Server }

// maxAskedUsers is for how many users' devices identity is asked at once.
const maxAskedUsers = 1000

// address makes the mails of a request, sorted by user, and tells how large they are together. Users of whom no device is there are
// nobody.
func (s *Service) address(q *toDevice, devices map[string][]*identitypb.Device) (mails []mail, nobody []string, size int, err error) {
	sender, left := senderHash(q.UserID), s.cfg.ToDevice.RequestMessages
	for user, contents := range q.messages {
		m := mail{user: user}
		for _, d := range devices[user] {
			content, ok := contents[d.GetDeviceId()]
			if !ok {
				content, ok = contents[everyDevice]
			}
			if !ok {
				continue
			}
			entry, err := s.entry(q, d, sender, q.message(content))
			if err != nil {
				return nil, nil, 0, err
			}
			m.devices, m.entries = append(m.devices, d.GetDeviceId()), append(m.entries, entry)
			if left, size = left-1, size+len(entry.Body); left < 0 {
				return nil, nil, 0, s.errTooMany()
			}
			if most := s.cfg.ToDevice.RequestBytes; size > most {
				return nil, nil, 0, matrix.Errorf(matrix.CodeTooLarge, "The messages of one request may have %d bytes.", most)
			}
		}
		switch {
		case len(m.entries) > 0:
			mails = append(mails, m)
		case len(contents) > 0 && s.isLocal(user):
			nobody = append(nobody, user)
		}
	}
	slices.SortFunc(mails, func(a, b mail) int { return cmp.Compare(a.user, b.user) })
	return mails, nobody, size, nil
}

// entry is a message as it is stored.
func (s *Service) entry(q *toDevice, d *identitypb.Device, sender string, message []byte) (eventlog.Entry, error) {
	if len(message) > s.cfg.ToDevice.MessageBytes {
		return eventlog.Entry{}, matrix.Errorf(matrix.CodeTooLarge, "A message may have %d bytes.", s.cfg.ToDevice.MessageBytes)
	}
	body, err := proto.Marshal(&keyspb.ToDeviceMessage{DeviceId: d.GetDeviceId(), Message: message})
	if err != nil {
		return eventlog.Entry{}, fmt.Errorf("encode message to a device: %w", err)
	}
	var id [12]byte
	if _, err := io.ReadFull(s.deps.Rand, id[:]); err != nil {
		return eventlog.Entry{}, fmt.Errorf("name a message of type %q: %w", q.typ, err)
	}
	return eventlog.Entry{
		Kind: eventlog.Kind(keyspb.EntryKind_ENTRY_KIND_TO_DEVICE),
		Key:  store.ToDeviceKey(d.GetDeviceId(), d.GetCreatedMs(), sender, hex.EncodeToString(id[:])), Body: body,
	}, nil
}

// deliver writes mails, each with a transaction id of its own, so that a repeat writes what is missing.
func (s *Service) deliver(ctx context.Context, q *toDevice, mails []mail) error {
	if len(mails) == 0 {
		return nil
	}
	users := make([]string, len(mails))
	for i, m := range mails {
		users[i] = m.user
	}
	streams, err := s.users.Streams(ctx, users)
	if err != nil {
		return err
	}
	appends := make([]eventlog.Append, len(mails))
	for i, m := range mails {
		appends[i] = eventlog.Append{
			Stream: streams[i], Expect: eventlog.AnySeq, Entries: m.entries,
			Txns: []eventlog.Txn{q.txn(m.user)},
		}
	}
	_, errs := s.users.AppendAll(ctx, appends)
	var failed []error
	for i, err := range errs {
		var duplicate *eventlog.DuplicateTxnError
		switch {
		case err == nil:
			s.metrics.queued.Add(float64(len(mails[i].entries)))
			s.bound(ctx, mails[i])
		case !errors.As(err, &duplicate): // a duplicate is there already
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// senderHash names a sender in the keys of messages. That two senders have the same one does no harm: see bound.
func senderHash(userID string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(userID))
	return fmt.Sprintf("%016x", h.Sum64())
}
