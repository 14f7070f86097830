package logrpc

import (
	"context"
	"fmt"

	logpb "hongyan/api/log"
	"hongyan/platform/eventlog"
)

// Remote is another service's log as a source to follow. Its records have no Stream: that is a number of the
// other service's database, and their Name says which stream it is.
type Remote struct {
	client logpb.LogClient
	keys   *shardKeys
	log    string
}

var _ eventlog.Source = Remote{}

// maxKeyed is up to how many shards of a log each is read from its owner. No log has more.
const maxKeyed = 4096

// NewRemote returns the log that a client reaches.
func NewRemote(client logpb.LogClient) Remote { return NewNamed(client, "") }

// NewNamed returns one of several logs that a client reaches, by its name.
func NewNamed(client logpb.LogClient, log string) Remote { return Remote{client, &shardKeys{}, log} }

// Heads gives the log's epoch and the positions of the newest entries of all shards.
func (r Remote) Heads(ctx context.Context) (eventlog.Heads, error) {
	resp, err := r.client.Heads(ctx, &logpb.HeadsRequest{Log: r.log})
	if err != nil {
		return eventlog.Heads{}, fmt.Errorf("read heads: %w", err)
	}
	if n := len(resp.GetShard()); n <= maxKeyed {
		r.keys.fit(n)
	}
	return eventlog.Heads{Epoch: resp.GetEpoch(), Shard: resp.GetShard()}, nil
}

// Read gives the records of a shard after a position, at most limit of them, and the position through which they
// are all.
func (r Remote) Read(ctx context.Context, shard int, after int64, limit int) ([]eventlog.Record, int64, error) {
	resp, err := r.client.Read(r.keys.with(ctx, shard), &logpb.ReadRequest{
		Shard: int32(shard), After: after, Limit: int32(limit), Log: r.log,
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read shard %d: %w", shard, err)
	}
	records := make([]eventlog.Record, len(resp.GetRecords()))
	for i, r := range resp.GetRecords() {
		records[i] = eventlog.Record{
			Shard: shard, Position: r.GetPosition(), Name: r.GetStream(), Seq: r.GetSeq(), Kind: eventlog.Kind(r.GetKind()),
			Key: r.GetKey(), Ref: r.GetRef(), Body: r.GetBody(), Doc: r.GetDoc(),
		}
	}
	return records, resp.GetThrough(), nil
}
