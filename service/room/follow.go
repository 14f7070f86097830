package room

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/api/log"
	"hongyan/platform/bus"
	"hongyan/platform/eventlog"
)

// identityFollower names this service's cursors in identity's log.
const identityFollower = "room"

// retryFollow is the pause before following starts anew after an error that following itself does not repeat.
const retryFollow = time.Second

// follow follows identity's log until ctx ends.
func (s *Service) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.followIdentity(ctx)
		if errors.Is(err, eventlog.ErrEpochChanged) {
			// Each step compares with what is there, so that going through the whole log again does no harm.
			logx.WithContext(ctx).Infof("identity's log was restored: following it from its beginning")
			err = s.cursors.Reset(ctx, identityFollower)
		}
		if err == nil {
			continue
		}
		logx.WithContext(ctx).Errorf("follow identity: %v", err)
		select {
		case <-time.After(retryFollow):
		case <-ctx.Done():
		}
	}
}

// followIdentity follows from the stored cursors.
func (s *Service) followIdentity(ctx context.Context) error {
	source := remoteLog{s.deps.IdentityLog}
	heads, err := source.Heads(ctx)
	if err != nil {
		return err
	}
	from, err := s.cursors.Load(ctx, identityFollower, len(heads.Shard))
	if err != nil {
		return err
	}
	if from.Epoch == 0 {
		from.Epoch = heads.Epoch
	}
	f := eventlog.NewFollower(source, eventlog.FollowConfig{
		From: from, BusDown: func() bool { return !s.deps.Bus.Connected() }, Name: "identity",
	}, func(ctx context.Context, shard int, records []eventlog.Record, through int64) error {
		if err := s.applyIdentity(ctx, records); err != nil {
			return err
		}
		return s.cursors.Set(ctx, identityFollower, from.Epoch, shard, through)
	})
	sub, err := s.deps.Bus.Subscribe("log.identity.*", func(m bus.Message) { wakeFollower(f, m) })
	if err != nil {
		return fmt.Errorf("subscribe to identity's log: %w", err)
	}
	defer sub.Unsubscribe()
	return f.Run(ctx)
}

// wakeFollower passes a wake-up on: its subject ends in the shard, its data is the head.
func wakeFollower(f *eventlog.Follower, m bus.Message) {
	shard, err := strconv.Atoi(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
	if err != nil {
		return
	}
	head, err := strconv.ParseInt(string(m.Data), 10, 64)
	if err != nil {
		return
	}
	f.Wake(shard, head)
}

// remoteLog is another service's log as a source to follow.
type remoteLog struct{ client logpb.LogClient }

var _ eventlog.Source = remoteLog{}

func (r remoteLog) Heads(ctx context.Context) (eventlog.Heads, error) {
	h, err := r.client.Heads(ctx, &logpb.HeadsRequest{})
	if err != nil {
		return eventlog.Heads{}, fmt.Errorf("read heads: %w", err)
	}
	return eventlog.Heads{Epoch: h.GetEpoch(), Shard: h.GetShard()}, nil
}

func (r remoteLog) Read(ctx context.Context, shard int, after int64, limit int) ([]eventlog.Record, int64, error) {
	resp, err := r.client.Read(ctx, &logpb.ReadRequest{Shard: int32(shard), After: after, Limit: int32(limit)})
	if err != nil {
		return nil, 0, fmt.Errorf("read shard %d: %w", shard, err)
	}
	records := make([]eventlog.Record, len(resp.GetRecords()))
	for i, p := range resp.GetRecords() {
		records[i] = eventlog.Record{
			Shard: shard, Position: p.GetPosition(), Name: p.GetStream(), Seq: p.GetSeq(),
			Kind: eventlog.Kind(p.GetKind()), Key: p.GetKey(), Ref: p.GetRef(), Body: p.GetBody(), Doc: p.GetDoc(),
		}
	}
	return records, resp.GetThrough(), nil
}
