package sync

import (
	"context"

	logpb "hongyan/api/log"
	"hongyan/platform/eventlog"
)

// source reads another service's log.
type source struct{ client logpb.LogClient }

// Heads gives the positions of the newest entries of all shards.
func (s source) Heads(ctx context.Context) (eventlog.Heads, error) {
	resp, err := s.client.Heads(ctx, &logpb.HeadsRequest{})
	if err != nil {
		return eventlog.Heads{}, err
	}
	return eventlog.Heads{Epoch: resp.Epoch, Shard: resp.Shard}, nil
}

// Read gives the entries of a shard after a position.
func (s source) Read(ctx context.Context, shard int, after int64, limit int) ([]eventlog.Record, int64, error) {
	resp, err := s.client.Read(ctx, &logpb.ReadRequest{Shard: int32(shard), After: after, Limit: int32(limit)})
	if err != nil {
		return nil, 0, err
	}
	records := make([]eventlog.Record, len(resp.Records))
	for i, r := range resp.Records {
		records[i] = eventlog.Record{
			Shard: shard, Position: r.Position, Name: r.Stream, Seq: r.Seq, Kind: eventlog.Kind(r.Kind),
			Key: r.Key, Ref: r.Ref, Body: r.Body, Doc: r.Doc,
		}
	}
	return records, resp.Through, nil
}
