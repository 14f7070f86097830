package room

import (
	"context"

	"google.golang.org/grpc"

	"hongyan/api/log"
	"hongyan/api/room"
	"hongyan/matrix"
)

// Register adds the service's gRPC servers: hongyan.room.v1.Room and hongyan.log.v1.Log of the room log.
func (s *Service) Register(reg grpc.ServiceRegistrar) {
	roompb.RegisterRoomServer(reg, roomServer{s: s})
	logpb.RegisterLogServer(reg, logServer{s: s})
}

// maxLogRead bounds the records of one answer.
const maxLogRead = 1000

// logServer lets other services follow the room log.
type logServer struct {
	logpb.UnimplementedLogServer
	s *Service
}

// Heads gives the positions of the newest entries of all shards.
func (l logServer) Heads(ctx context.Context, _ *logpb.HeadsRequest) (*logpb.HeadsResponse, error) {
	h, err := l.s.log.Heads(ctx)
	if err != nil {
		return nil, matrix.Unavailable(err)
	}
	return &logpb.HeadsResponse{Epoch: h.Epoch, Shard: h.Shard}, nil
}

// Read gives the entries of one shard after a position, with their events. An event whose redaction comes later in the
// shard may still be as it was: a follower that keeps events prunes them when it meets the redaction.
func (l logServer) Read(ctx context.Context, req *logpb.ReadRequest) (*logpb.ReadResponse, error) {
	shard, limit := int(req.GetShard()), int(req.GetLimit())
	if shard < 0 || shard >= l.s.log.Shards() {
		return nil, matrix.Errorf(matrix.CodeInvalidParam, "The room log has no shard %d.", shard)
	}
	if limit <= 0 || limit > maxLogRead {
		limit = maxLogRead
	}
	records, through, err := l.s.log.Read(ctx, shard, req.GetAfter(), limit)
	if err != nil {
		return nil, matrix.Unavailable(err)
	}
	resp := &logpb.ReadResponse{Through: through, Records: make([]*logpb.Record, len(records))}
	for i, r := range records {
		resp.Records[i] = &logpb.Record{
			Position: r.Position, Stream: r.Name, Seq: r.Seq, Kind: int32(r.Kind),
			Key: r.Key, Ref: r.Ref, Body: r.Body, Doc: r.Doc,
		}
	}
	return resp, nil
}
