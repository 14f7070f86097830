package logrpc

import (
	"context"

	"google.golang.org/grpc"

	logpb "hongyan/api/log"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
)

const (
	// maxRecords bounds the records of one answer.
	maxRecords = 1000
	// maxBytes bounds their strings and bytes, but for the first record, which is always given: an answer that is too
	// large for the connection would stop its follower for good.
	maxBytes = 16 << 20
)

// Log is what a server offers. *eventlog.Log is one.
type Log interface {
	eventlog.Source
	Shards() int
}

var _ Log = (*eventlog.Log)(nil)

// Register offers a log as hongyan.log.v1.Log.
func Register(reg grpc.ServiceRegistrar, log Log) { RegisterNamed(reg, log, nil) }

// RegisterNamed offers several logs: one to who names none, and others by their names.
func RegisterNamed(reg grpc.ServiceRegistrar, log Log, named map[string]Log) {
	logpb.RegisterLogServer(reg, server{log: log, named: named})
}

type server struct {
	logpb.UnimplementedLogServer
	log   Log
	named map[string]Log
}

// called returns the log of a name.
func (s server) called(name string) (Log, error) {
	if name == "" {
		return s.log, nil
	}
	if log := s.named[name]; log != nil {
		return log, nil
	}
	return nil, matrix.Errorf(matrix.CodeInvalidParam, "There is no log %q.", name)
}

// Heads gives the positions of the newest entries of all shards.
func (s server) Heads(ctx context.Context, req *logpb.HeadsRequest) (*logpb.HeadsResponse, error) {
	log, err := s.called(req.GetLog())
	if err != nil {
		return nil, err
	}
	h, err := log.Heads(ctx)
	if err != nil {
		return nil, matrix.Unavailable(err)
	}
	return &logpb.HeadsResponse{Epoch: h.Epoch, Shard: h.Shard}, nil
}

// Read gives the entries of one shard after a position. A limit of 0 or above maxRecords is maxRecords.
func (s server) Read(ctx context.Context, req *logpb.ReadRequest) (*logpb.ReadResponse, error) {
	log, err := s.called(req.GetLog())
	if err != nil {
		return nil, err
	}
	shard, after, limit := int(req.GetShard()), req.GetAfter(), int(req.GetLimit())
	if shard < 0 || shard >= log.Shards() || after < 0 || limit < 0 {
		return nil, matrix.Errorf(matrix.CodeInvalidParam, "The log has no %d entries after %d of shard %d.", limit, after, shard)
	}
	if limit == 0 || limit > maxRecords {
		limit = maxRecords
	}
	records, through, err := log.Read(ctx, shard, after, limit)
	if err != nil {
		return nil, matrix.Unavailable(err)
	}
	resp := &logpb.ReadResponse{Through: through, Records: make([]*logpb.Record, 0, len(records))}
	size := 0
	for _, r := range records {
		size += len(r.Name) + len(r.Key) + len(r.Ref) + len(r.Body) + len(r.Doc)
		if size > maxBytes && len(resp.Records) > 0 {
			resp.Through = resp.Records[len(resp.Records)-1].GetPosition()
			break
		}
		resp.Records = append(resp.Records, &logpb.Record{
			Position: r.Position, Stream: r.Name, Seq: r.Seq, Kind: int32(r.Kind),
			Key: r.Key, Ref: r.Ref, Body: r.Body, Doc: r.Doc,
		})
	}
	return resp, nil
}
