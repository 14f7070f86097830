package logrpc_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	logpb "hongyan/api/log"
	"hongyan/matrix"
	"hongyan/platform/bus/memory"
	"hongyan/platform/eventlog"
	"hongyan/platform/eventlog/logrpc"
	"hongyan/platform/obs/obstest"
	"hongyan/platform/rpc"
	"hongyan/platform/sqldb"
)

func TestMain(m *testing.M) { obstest.Main(m) }

const patience = 30 * time.Second

// serve offers a log to a client in this process.
func serve(log logrpc.Log) logpb.LogClient {
	server := rpc.NewServer("test", rpc.Options{})
	logrpc.Register(server, log)
	conns, local := rpc.NewLocal(rpc.Options{})
	local.Add(server)
	return logpb.NewLogClient(conns.Conn("test"))
}

// openLog opens and runs a log that wakes its followers over a bus.
func openLog(t *testing.T, wakes *memory.Bus) *eventlog.Log {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "log.db")})
	require.NoError(t, err)
	l, err := eventlog.Open(t.Context(), db, eventlog.Schema{Name: "test", Shards: 4},
		eventlog.Config{OnCommit: logrpc.Waker(wakes, "test")})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, db.Close())
	})
	return l
}

// TestFollowedFromAfar follows a log over gRPC by wake-ups alone: what it says arrives as it was written.
func TestFollowedFromAfar(t *testing.T) {
	wakes := memory.New(16)
	t.Cleanup(func() { require.NoError(t, wakes.Close()) })
	l := openLog(t, wakes)
	remote := logrpc.NewRemote(serve(l))

	s, err := l.Stream(t.Context(), "!a:x")
	require.NoError(t, err)
	_, err = l.Append(t.Context(), eventlog.Append{Stream: s, Expect: 0, Entries: []eventlog.Entry{
		{Kind: 3, Ref: "$1", Body: []byte("first")},
	}})
	require.NoError(t, err)

	got := make(chan eventlog.Record, 10)
	f := eventlog.NewFollower(remote, eventlog.FollowConfig{Poll: time.Hour, Timeout: patience},
		func(_ context.Context, _ int, records []eventlog.Record, _ int64) error {
			for _, r := range records {
				got <- r
			}
			return nil
		})
	sub, err := logrpc.Subscribe(wakes, "test", f.Wake)
	require.NoError(t, err)
	t.Cleanup(sub.Unsubscribe)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })

	next := func() eventlog.Record {
		select {
		case r := <-got:
			return r
		case <-time.After(patience):
			require.FailNow(t, "nobody was woken")
			return eventlog.Record{}
		}
	}
	require.Equal(t, eventlog.Record{
		Shard: s.Shard, Position: 1, Name: "!a:x", Seq: 1, Kind: 3, Ref: "$1", Body: []byte("first"),
	}, next(), "found by asking for the heads")
	_, err = l.Append(t.Context(), eventlog.Append{Stream: s, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{
		{Kind: 4, Key: "k", Body: []byte("second")},
	}})
	require.NoError(t, err)
	require.Equal(t, eventlog.Record{
		Shard: s.Shard, Position: 2, Name: "!a:x", Kind: 4, Key: "k", Body: []byte("second"),
	}, next(), "found by the wake-up")

	h, err := remote.Heads(t.Context())
	require.NoError(t, err)
	require.Equal(t, l.Epoch(), h.Epoch)
	require.EqualValues(t, 2, h.Shard[s.Shard])
	require.Len(t, h.Shard, 4)
}

func TestWakeUpsAreParsedAndOthersIgnored(t *testing.T) {
	wakes := memory.New(16)
	t.Cleanup(func() { require.NoError(t, wakes.Close()) })
	type wakeUp struct {
		shard int
		head  int64
	}
	got := make(chan wakeUp, 10)
	sub, err := logrpc.Subscribe(wakes, "a", func(shard int, head int64) { got <- wakeUp{shard, head} })
	require.NoError(t, err)
	t.Cleanup(sub.Unsubscribe)
	for _, m := range [][2]string{
		{"log.a.x", "1"}, {"log.a.1", ""}, {"log.a.1", "many"}, {"log.a.1", "99999999999999999999"}, {"log.a", "1"},
	} {
		require.NoError(t, wakes.Publish(t.Context(), m[0], []byte(m[1])))
	}
	logrpc.Waker(wakes, "b")(1, 1)
	logrpc.Waker(wakes, "a")(63, 1<<40)
	select {
	case w := <-got:
		require.Equal(t, wakeUp{63, 1 << 40}, w, "the first that is one")
	case <-time.After(patience):
		require.FailNow(t, "nobody was woken")
	}

	_, err = logrpc.Subscribe(wakes, "no.such name", func(int, int64) {})
	require.ErrorContains(t, err, "subscribe to log no.such name")
	logrpc.Waker(wakes, "no such name")(1, 1) // is logged, and no more
}

// fixed is a log with these records in its shard 0, or one that fails.
type fixed struct {
	records []eventlog.Record
	err     error
}

func (f fixed) Shards() int { return 2 }

func (f fixed) Heads(context.Context) (eventlog.Heads, error) { return eventlog.Heads{}, f.err }

func (f fixed) Read(_ context.Context, _ int, after int64, limit int) ([]eventlog.Record, int64, error) {
	records := f.records[min(int(after), len(f.records)):]
	records = records[:min(limit, len(records))]
	return records, after + int64(len(records)), f.err
}

func TestAnswersAreBounded(t *testing.T) {
	var many, large []eventlog.Record
	for p := range int64(1500) {
		many = append(many, eventlog.Record{Position: p + 1, Ref: "$"})
	}
	for p := range int64(5) {
		large = append(large, eventlog.Record{Position: p + 1, Doc: bytes.Repeat([]byte("x"), 7<<20)})
	}
	large[3].Doc = bytes.Repeat([]byte("x"), 20<<20)
	for name, tt := range map[string]struct {
		log          fixed
		after, limit int64
		records      int
		through      int64
	}{
		"as many as were asked for":  {fixed{records: many}, 10, 20, 20, 30},
		"no limit":                   {fixed{records: many}, 0, 0, 1000, 1000},
		"a limit beyond the bound":   {fixed{records: many}, 0, 1 << 30, 1000, 1000},
		"the rest":                   {fixed{records: many}, 1000, 1000, 500, 1500},
		"no more bytes than allowed": {fixed{records: large}, 0, 100, 2, 2},
		"a record goes alone":        {fixed{records: large}, 3, 100, 1, 4},
		"beyond the end":             {fixed{records: many}, 1500, 100, 0, 1500},
	} {
		resp, err := serve(tt.log).Read(t.Context(), &logpb.ReadRequest{After: tt.after, Limit: int32(tt.limit)})
		require.NoError(t, err, name)
		require.Len(t, resp.GetRecords(), tt.records, name)
		require.Equal(t, tt.through, resp.GetThrough(), name)
	}
}

func TestErrors(t *testing.T) {
	var known *matrix.Error
	client := serve(fixed{})
	for _, req := range []*logpb.ReadRequest{{Shard: -1}, {Shard: 2}, {After: -1}, {Limit: -1}} {
		_, err := client.Read(t.Context(), req)
		require.ErrorAs(t, err, &known, req)
		require.Equal(t, matrix.CodeInvalidParam, known.Code, req)
	}
	remote := logrpc.NewRemote(serve(fixed{err: errors.New("no database")}))
	_, err := remote.Heads(t.Context())
	require.ErrorContains(t, err, "read heads")
	require.ErrorAs(t, err, &known)
	require.Equal(t, http.StatusServiceUnavailable, known.Status)
	_, _, err = remote.Read(t.Context(), 1, 0, 10)
	require.ErrorContains(t, err, "read shard 1")
	require.ErrorAs(t, err, &known)
	require.Equal(t, http.StatusServiceUnavailable, known.Status)
}

// keys notes by which keys shards are read.
type keys struct {
	logpb.LogClient
	read map[int32]string
}

func (k keys) Read(ctx context.Context, req *logpb.ReadRequest, opts ...grpc.CallOption) (*logpb.ReadResponse, error) {
	k.read[req.Shard], _ = rpc.KeyOf(ctx)
	return k.LogClient.Read(ctx, req, opts...)
}

// TestShardsAreReadFromTheirOwners proves that the key of each read belongs to the shard that is read.
func TestShardsAreReadFromTheirOwners(t *testing.T) {
	wakes := memory.New(16)
	t.Cleanup(func() { require.NoError(t, wakes.Close()) })
	client := keys{serve(openLog(t, wakes)), map[int32]string{}}
	remote := logrpc.NewRemote(client)
	heads, err := remote.Heads(t.Context())
	require.NoError(t, err)
	for shard := range heads.Shard {
		_, _, err := remote.Read(t.Context(), shard, 0, 1)
		require.NoError(t, err)
		require.Equal(t, shard, eventlog.ShardOf(client.read[int32(shard)], len(heads.Shard)))
	}
}
