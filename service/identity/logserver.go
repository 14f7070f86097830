package identity

import (
	"context"

	logpb "hongyan/api/log"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
)

// maxRead is how many entries one Read gives.
const maxRead = 1000

// logServer serves hongyan.log.v1.Log.
type logServer struct {
	logpb.UnimplementedLogServer
	log *eventlog.Log
}

// Heads implements logpb.LogServer.
func (g logServer) Heads(ctx context.Context, _ *logpb.HeadsRequest) (*logpb.HeadsResponse, error) {
	h, err := g.log.Heads(ctx)
	if err != nil {
		return nil, apiError(err)
	}
	return &logpb.HeadsResponse{Epoch: h.Epoch, Shard: h.Shard}, nil
}

// Read implements logpb.LogServer.
func (g logServer) Read(ctx context.Context, req *logpb.ReadRequest) (*logpb.ReadResponse, error) {
	shard, limit := int(req.GetShard()), int(req.GetLimit())
	if shard < 0 || shard >= g.log.Shards() || req.GetAfter() < 0 {
		return nil, matrix.NewError(matrix.CodeInvalidParam, "There is no such position.")
	}
	if limit <= 0 || limit > maxRead {
		limit = maxRead
	}
	records, through, err := g.log.Read(ctx, shard, req.GetAfter(), limit)
	if err != nil {
		return nil, apiError(err)
	}
	resp := &logpb.ReadResponse{Records: make([]*logpb.Record, len(records)), Through: through}
	for i, r := range records {
		resp.Records[i] = &logpb.Record{
			Position: r.Position, Stream: r.Name, Seq: r.Seq, Kind: int32(r.Kind),
			Key: r.Key, Ref: r.Ref, Body: r.Body, Doc: r.Doc,
		}
	}
	return resp, nil
}
