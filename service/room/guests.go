package room

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/api/identity"
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/service/room/internal/state"
	"hongyan/service/room/internal/store"
)

const (
	// guestCheck is how often it is looked which rooms were closed to guests.
	guestCheck = time.Second
	// roomsAtOnce and membersAtOnce are how many are read at a time.
	roomsAtOnce   = 100
	membersAtOnce = 500
	// canJoin is the guest_access of a room that is open to guests.
	canJoin = "can_join"
)

// closesToGuests tells whether guests who are in the room must leave because of an event ("Guest Access").
func closesToGuests(ev *event.Event) bool {
	return ev.Type() == event.TypeGuestAccess && ev.IsState() && ev.StateKeyValue() == "" && ev.ContentString("guest_access") != canJoin
}

// showOut makes guests leave the rooms that were closed to them, until ctx ends. It is noted in the append that closes a room,
// and identity knows who is a guest. What fails is done at the next time.
func (s *Service) showOut(ctx context.Context) {
	ticker := time.NewTicker(guestCheck)
	defer ticker.Stop()
	for {
		if err := s.showAllOut(ctx); err != nil && ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("make guests leave: %v", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Service) showAllOut(ctx context.Context) error {
	var checks []store.GuestCheck
	err := s.inTime(ctx, func(ctx context.Context) (err error) {
		checks, err = s.store.GuestChecks(ctx, roomsAtOnce)
		return err
	})
	if err != nil {
		return err
	}
	var failed []error
	for _, c := range checks {
		if err := s.showOutOf(ctx, c); err != nil {
			failed = append(failed, fmt.Errorf("room %s: %w", c.RoomID, err))
		}
	}
	return errors.Join(failed...)
}

func (s *Service) showOutOf(ctx context.Context, c store.GuestCheck) error {
	for after := int64(0); ; {
		var members []store.Joined
		var guests []matrix.UserID
		err := s.inTime(ctx, func(ctx context.Context) (err error) {
			if members, err = s.store.JoinedAfter(ctx, c.Room, after, membersAtOnce); err != nil || len(members) == 0 {
				return err
			}
			guests, err = s.guestsOf(ctx, members)
			return err
		})
		if err != nil {
			return err
		}
		for _, user := range guests {
			if err := s.changeMember(ctx, c.RoomID, user, leaveClosed); err != nil {
				return err
			}
		}
		if len(members) < membersAtOnce {
			return s.inTime(ctx, func(ctx context.Context) error { return s.store.EndGuestCheck(ctx, c) })
		}
		after = members[len(members)-1].Seq
	}
}

func (s *Service) guestsOf(ctx context.Context, members []store.Joined) ([]matrix.UserID, error) {
	users := make([]string, len(members))
	for i, m := range members {
		users[i] = m.UserID
	}
	answer, err := s.deps.Identity.Users(ctx, &identitypb.UsersRequest{UserIds: users})
	if err != nil {
		return nil, fmt.Errorf("ask who is a guest: %w", err)
	}
	var guests []matrix.UserID
	for _, u := range answer.GetUsers() {
		if u.GetGuest() {
			guests = append(guests, matrix.UserID(u.GetUserId()))
		}
	}
	return guests, nil
}

// leaveClosed leaves a room that is closed to guests.
func leaveClosed(ctx context.Context, w *working, user matrix.UserID) error {
	if w.state.Membership(string(user)) != state.Join || w.contentString(event.TypeGuestAccess, "guest_access") == canJoin {
		return nil
	}
	_, err := w.setMember(ctx, memberChange{sender: user, target: user, to: event.Leave})
	return err
}
