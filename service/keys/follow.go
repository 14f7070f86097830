package keys

import (
	"context"

	"hongyan/platform/eventlog/logrpc"
	"hongyan/platform/follow"
	"hongyan/platform/lease"
)

// identityLog names identity's log on the bus.
const identityLog = "identity"

// identityFollower names this service's cursors in identity's log, and the lease of who follows it.
const identityFollower = "identity"

// follow follows identity's log until ctx ends with the term. One of the instances does so for all; that two do for a moment
// does no harm, since each step compares with what is there.
func (s *Service) follow(ctx context.Context, _ *lease.Term) {
	follow.Config{
		Log: identityLog, Source: logrpc.NewRemote(s.deps.IdentityLog), Bus: s.deps.Bus, Cursors: s.cursors, Follower: identityFollower,
		Apply:   func(ctx context.Context, p *follow.Page) error { return s.applyIdentity(ctx, p.Records) },
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
