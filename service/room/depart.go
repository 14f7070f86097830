package room

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"golang.org/x/sync/errgroup"

	"hongyan/matrix"
	"hongyan/service/room/internal/store"
)

const (
	// departureCheck is how often it is looked who is due to be made to leave once more.
	departureCheck = 2 * time.Second
	// departuresAtOnce is how many are read at a time.
	departuresAtOnce = 100
)

// noteDeparture remembers that a user is deactivated, before the user leaves their rooms. A request of theirs that was
// let through before may still make or join a room of which that knows nothing: identity's database and this one share
// no transaction, and what the request itself looks for afterwards is not done if its instance dies. So the rooms
// are looked through again when no such request can be under way any more. That is in the database: any instance does it.
func (s *Service) noteDeparture(ctx context.Context, user matrix.UserID) error {
	return s.store.AddDeparture(ctx, store.Departure{
		UserID: string(user), DueMs: s.now() + s.cfg.DepartAfter.Milliseconds(),
	})
}

// depart makes those leave once more who are due, until ctx ends. What fails is done at the next time.
func (s *Service) depart(ctx context.Context) {
	ticker := time.NewTicker(departureCheck)
	defer ticker.Stop()
	for {
		if err := s.departAll(ctx); err != nil && ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("look through the rooms of those who are gone: %v", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Service) departAll(ctx context.Context) error {
	for {
		var due []store.Departure
		err := s.inTime(ctx, func(ctx context.Context) (err error) {
			due, err = s.store.Departures(ctx, s.now(), departuresAtOnce)
			return err
		})
		if err != nil {
			return err
		}
		// One that fails stays due and does not hold up the others.
		var failed []error
		for _, d := range due {
			if err := s.departFrom(ctx, d); err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", d.UserID, err))
			}
		}
		if err := errors.Join(failed...); err != nil {
			return err
		}
		if len(due) < departuresAtOnce {
			return nil
		}
	}
}

func (s *Service) departFrom(ctx context.Context, d store.Departure) error {
	n := &news{user: matrix.UserID(d.UserID), deactivated: true}
	var rooms []string
	var leave memberOp
	err := s.inTime(ctx, func(ctx context.Context) (err error) {
		rooms, leave, err = s.consequences(ctx, n)
		return err
	})
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(s.cfg.FollowConcurrency)
	for _, roomID := range rooms {
		group.Go(func() error { return s.changeMember(groupCtx, roomID, n.user, leave) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return s.inTime(ctx, func(ctx context.Context) error { return s.store.EndDeparture(ctx, d) })
}
