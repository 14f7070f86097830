package room

import (
	"context"
	"sync"

	"hongyan/platform/eventlog/logrpc"
	"hongyan/platform/follow"
	"hongyan/platform/lease"
)

// identityLog names identity's log on the bus.
const identityLog = "identity"

// identityFollower names this service's cursors in identity's log.
const identityFollower = "room"

// followAlone does what one of the instances does for all: it follows identity's log, makes those leave who are gone, and guests
// from where they may not be, until ctx ends with the term.
func (s *Service) followAlone(ctx context.Context, term *lease.Term) {
	var working sync.WaitGroup
	working.Go(func() { s.follow(ctx, term) })
	working.Go(func() { s.depart(ctx) })
	working.Go(func() { s.showOut(ctx) })
	working.Wait()
}

// follow follows identity's log until ctx ends. Each step compares with what is there, so that going through the whole log again
// does no harm.
func (s *Service) follow(ctx context.Context, term *lease.Term) {
	follow.Config{
		Log: identityLog, Source: logrpc.NewRemote(s.deps.IdentityLog), Bus: s.deps.Bus, Cursors: s.cursors, Follower: identityFollower,
		Apply:   func(ctx context.Context, p *follow.Page) error { return s.applyIdentity(ctx, term, p.Records) },
		Timeout: s.cfg.CommitTimeout, Metrics: s.deps.Metrics,
	}.Run(ctx)
}

// inTime does something with the database that no request bounds: over a connection that was lost silently it would
// never end.
func (s *Service) inTime(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CommitTimeout)
	defer cancel()
	return do(ctx)
}
