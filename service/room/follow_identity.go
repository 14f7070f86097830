package room

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/zeromicro/go-zero/core/logx"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"hongyan/api/identity"
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/eventlog"
	"hongyan/platform/lease"
	"hongyan/platform/once"
	"hongyan/service/room/internal/state"
)

// news is what a page of identity's log says of one user, as far as rooms are concerned.
type news struct {
	user        matrix.UserID
	fields      []string
	deactivated bool
	// devices are gone.
	devices []string
}

// profileFields are the fields of profiles that member events repeat.
var profileFields = [...]string{"displayname", "avatar_url"}

// applyIdentity makes the rooms follow a page of identity's log. It may be repeated: each step looks at what is
// there and changes only what differs.
func (s *Service) applyIdentity(ctx context.Context, term *lease.Term, records []eventlog.Record) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.cfg.FollowConcurrency)
	for _, n := range collectNews(records) {
		var rooms []string
		var change memberOp
		err := s.inTime(ctx, func(ctx context.Context) (err error) {
			if err := s.forgetTxns(ctx, n); err != nil {
				return err
			}
			if n.deactivated {
				if err := s.noteDeparture(ctx, n.user); err != nil {
					return err
				}
			}
			rooms, change, err = s.consequences(ctx, n)
			change = duringTerm(term, change)
			return err
		})
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		for _, roomID := range rooms {
			group.Go(func() error { return s.changeMember(ctx, roomID, n.user, change) })
		}
	}
	return group.Wait()
}

// forgetTxns drops the transaction ids of devices that are gone. They survive everything else.
func (s *Service) forgetTxns(ctx context.Context, n *news) error {
	user := string(n.user)
	prefixes := []string{}
	for _, device := range n.devices {
		prefixes = append(prefixes, once.Scope(scopeTxn, user, device, ""), once.Scope(scopeKey, user, device, ""))
	}
	if n.deactivated {
		prefixes = []string{once.Scope(scopeTxn, user, ""), once.Scope(scopeKey, user, "")}
	}
	for _, prefix := range prefixes {
		if err := s.log.ForgetTxns(ctx, prefix); err != nil {
			return err
		}
	}
	return nil
}

// collectNews reduces records to one news a user, in the order of their first records.
func collectNews(records []eventlog.Record) []*news {
	byUser := map[matrix.UserID]*news{}
	var list []*news
	for _, r := range records {
		e := new(identitypb.UserEvent)
		if err := proto.Unmarshal(r.Body, e); err != nil {
			logx.Errorf("skip entry %d of identity's shard %d: %v", r.Position, r.Shard, err)
			continue
		}
		n := byUser[matrix.UserID(r.Name)]
		if n == nil {
			n = &news{user: matrix.UserID(r.Name)}
		}
		if !n.add(identitypb.UserEventKind(r.Kind), e) {
			continue
		}
		if byUser[n.user] == nil {
			byUser[n.user] = n
			list = append(list, n)
		}
	}
	return list
}

// add takes in an entry of identity's log and tells whether it matters to rooms.
func (n *news) add(kind identitypb.UserEventKind, e *identitypb.UserEvent) bool {
	switch kind {
	case identitypb.UserEventKind_USER_EVENT_KIND_DEACTIVATED:
		n.deactivated = true
	case identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_REMOVED:
		n.devices = append(n.devices, e.GetDeviceIds()...)
	case identitypb.UserEventKind_USER_EVENT_KIND_PROFILE_CHANGED:
		fields := e.GetFields()
		if len(fields) == 0 {
			fields = profileFields[:]
		}
		n.fields = append(n.fields, fields...)
	default:
		return false
	}
	return true
}

// memberOp changes a user's own member event in one room.
type memberOp func(ctx context.Context, w *working, user matrix.UserID) error

// consequences returns the rooms that a piece of news concerns and what happens there.
func (s *Service) consequences(ctx context.Context, n *news) ([]string, memberOp, error) {
	if n.deactivated {
		rooms, err := s.store.RoomsOf(ctx, string(n.user), []string{state.Join, state.Invite, state.Knock})
		return rooms, leaveForGood, err
	}
	if !slices.ContainsFunc(n.fields, func(f string) bool { return slices.Contains(profileFields[:], f) }) {
		return nil, nil, nil
	}
	found, err := s.profiles(ctx, n.user)
	if err != nil {
		return nil, nil, err
	}
	profile := found[n.user]
	if profile == nil { // deactivated meanwhile: that is news of its own
		return nil, nil, nil
	}
	rooms, err := s.store.RoomsOf(ctx, string(n.user), []string{state.Join})
	return rooms, showProfile(profile, n.fields), err
}

// errTermOver says that another instance may be following by now.
var errTermOver = errors.New("the lease has run out")

// duringTerm lets op change nothing once another instance may be following. What that one knows of the user is newer,
// and this op, if it comes after the other's, would undo it: an append that comes after is made again, and so asks again.
func duringTerm(term *lease.Term, op memberOp) memberOp {
	return func(ctx context.Context, w *working, user matrix.UserID) error {
		if !term.Held() {
			return errTermOver
		}
		return op(ctx, w, user)
	}
}

// changeMember runs op in a room. What the room's rules refuse is let be: only what may work later is an error.
func (s *Service) changeMember(ctx context.Context, roomID string, user matrix.UserID, op memberOp) error {
	_, err := s.operate(ctx, roomID, eventlog.Txn{}, asOp(func(ctx context.Context, w *working) error {
		return op(ctx, w, user)
	}))
	if matrix.IsFinal(err) {
		logx.WithContext(ctx).Infof("room %s does not follow %s: %v", roomID, user, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("let room %s follow %s: %w", roomID, user, err)
	}
	return nil
}

// leaveForGood leaves a room, rejects an invite or withdraws a knock.
func leaveForGood(ctx context.Context, w *working, user matrix.UserID) error {
	switch w.state.Membership(string(user)) {
	case state.Join, state.Invite, state.Knock:
		_, err := w.setMember(ctx, memberChange{sender: user, target: user, to: event.Leave})
		return err
	}
	return nil
}

// showProfile makes the member event of somebody who is joined say what their profile says in the fields that changed.
func showProfile(p *identitypb.Profile, fields []string) memberOp {
	values := map[string]*string{"displayname": p.DisplayName, "avatar_url": p.AvatarUrl}
	return func(ctx context.Context, w *working, user matrix.UserID) error {
		if w.state.Membership(string(user)) != state.Join {
			return nil
		}
		now, err := w.current(ctx, event.TypeMember, string(user))
		if err != nil {
			return err
		}
		o, err := parseObject(now.Content())
		if err != nil {
			return err
		}
		for _, f := range fields {
			if v, ok := values[f]; ok && v != nil {
				o.set(f, *v)
			} else if ok {
				delete(o, f)
			}
		}
		if content, err := o.canonical(); err != nil || bytes.Equal(content, now.Content()) {
			return err
		}
		for _, k := range append([]string{"reason", "is_direct"}, keysOfServer[:]...) {
			delete(o, k) // said of the join, not of the user
		}
		content, err := o.canonical()
		if err != nil {
			return err
		}
		key := string(user)
		_, err = w.add(ctx, draft{sender: user, typ: event.TypeMember, key: &key, content: content})
		return err
	}
}
