package sync

import (
	"context"

	logpb "hongyan/api/log"
	syncpb "hongyan/api/sync"
	"hongyan/matrix"
)

// maxRead bounds the records of one Read.
const maxRead = 1000

// logServer lets other services follow the user log.
type logServer struct {
	logpb.UnimplementedLogServer
	s *Service
}

// Heads gives the positions of the newest entries of all shards.
func (l logServer) Heads(ctx context.Context, _ *logpb.HeadsRequest) (*logpb.HeadsResponse, error) {
	heads, err := l.s.userHeads.get(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	return &logpb.HeadsResponse{Epoch: heads.Epoch, Shard: heads.Shard}, nil
}

// Read gives the entries of a shard after a position.
func (l logServer) Read(ctx context.Context, req *logpb.ReadRequest) (*logpb.ReadResponse, error) {
	if req.Shard < 0 || int(req.Shard) >= l.s.log.Shards() {
		return nil, matrix.Errorf(matrix.CodeInvalidParam, "There is no shard %d.", req.Shard)
	}
	records, through, err := l.s.log.Read(ctx, int(req.Shard), req.After, int(min(max(req.Limit, 1), maxRead)))
	if err != nil {
		return nil, unavailable(err)
	}
	resp := &logpb.ReadResponse{Through: through, Records: make([]*logpb.Record, len(records))}
	for i, r := range records {
		resp.Records[i] = &logpb.Record{
			Position: r.Position, Stream: r.Name, Seq: r.Seq, Kind: int32(r.Kind), Key: r.Key, Ref: r.Ref, Body: r.Body,
		}
	}
	return resp, nil
}

// dataServer answers other services' questions: hongyan.sync.v1.Sync.
type dataServer struct {
	syncpb.UnimplementedSyncServer
	s *Service
}

// AccountData reads account data of a user from the database.
func (d dataServer) AccountData(ctx context.Context, req *syncpb.AccountDataRequest) (*syncpb.AccountDataResponse, error) {
	resp := &syncpb.AccountDataResponse{}
	for _, eventType := range req.Types {
		content, err := d.s.users.Data(ctx, req.UserId, req.RoomId, eventType)
		if err != nil {
			return nil, unavailable(err)
		}
		if content != nil {
			resp.Data = append(resp.Data, &syncpb.AccountData{RoomId: req.RoomId, Type: eventType, Content: content})
		}
	}
	return resp, nil
}
