package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sync/errgroup"
)

// group is a room with who speaks in it.
type group struct {
	roomID  string
	members []*user
	senders []*user
}

// setUp makes the accounts and the rooms.
func (r *run) setUp(ctx context.Context, transport *fasthttp.Client) ([]*user, []*group, error) {
	users, err := r.makeUsers(ctx, transport)
	if err != nil {
		return nil, nil, err
	}
	var groups []*group
	switch r.cfg.Mode {
	case ModePairs, ModeMixed, ModeIdle:
		for i := 0; i+1 < len(users); i += 2 {
			pair := users[i : i+2]
			groups = append(groups, &group{members: pair, senders: pair})
		}
		if r.cfg.Mode == ModeMixed {
			groups = append(groups, &group{members: users, senders: users})
		}
	case ModeGroup:
		groups = append(groups, &group{members: users, senders: users[:r.cfg.Senders]})
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.cfg.Setup)
	for _, room := range groups {
		g.Go(func() error { return r.makeRoom(gctx, room) })
	}
	return users, groups, g.Wait()
}

// name starts the names of accounts of this run.
func (r *run) name() (string, error) {
	var random [4]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", fmt.Errorf("draw a name for the run: %w", err)
	}
	return r.cfg.Prefix + hex.EncodeToString(random[:]), nil
}

func (r *run) makeUsers(ctx context.Context, transport *fasthttp.Client) ([]*user, error) {
	name, err := r.name()
	if err != nil {
		return nil, err
	}
	users := make([]*user, r.cfg.Users)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.cfg.Setup)
	for i := range users {
		g.Go(func() error {
			c := NewClient(transport, r.cfg.URL)
			users[i] = &user{Client: c, run: r, ready: make(chan struct{})}
			return untilAllowed(gctx, func() error {
				return c.Register(gctx, fmt.Sprintf("%s-%d", name, i), "pass word "+name, r.cfg.SharedSecret, r.cfg.RegistrationToken)
			})
		})
	}
	return users, g.Wait()
}

// untilAllowed repeats what a rate limit refused.
func untilAllowed(ctx context.Context, do func() error) error {
	for attempt := 1; ; attempt++ {
		err := do()
		wait, again := retryAfter(err, attempt)
		if !again || !statusIs(err, 429) {
			return err
		}
		sleep(ctx, wait)
	}
}

func (r *run) makeRoom(ctx context.Context, room *group) error {
	creator := room.members[0]
	err := untilAllowed(ctx, func() (err error) {
		room.roomID, err = creator.CreateRoom(ctx, map[string]any{"preset": "public_chat", "name": "bench"})
		return err
	})
	if err != nil {
		return fmt.Errorf("create a room: %w", err)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.cfg.Setup)
	for _, u := range room.members {
		r.ledger.Observe(room.roomID, u.UserID)
		if u == creator {
			continue
		}
		g.Go(func() error {
			if err := untilAllowed(gctx, func() error { return u.Join(gctx, room.roomID) }); err != nil {
				return fmt.Errorf("join: %w", err)
			}
			return nil
		})
	}
	return g.Wait()
}

// startSyncing runs every user's sync loop and waits until all have their first answer.
func startSyncing(ctx context.Context, loops *errgroup.Group, users []*user) error {
	for _, u := range users {
		loops.Go(func() error {
			u.syncLoop(ctx)
			return nil
		})
	}
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	for _, u := range users {
		select {
		case <-u.ready:
		case <-deadline.C:
			return fmt.Errorf("the initial sync of %s did not come within two minutes", u.UserID)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
