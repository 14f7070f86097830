package eventlog_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// lost is an append whose connection is lost while the server's process waits for the lock of its shard.
type lost struct {
	t        *testing.T
	url      string
	admin    *sqldb.DB
	log      *eventlog.Log
	proxy    *proxy
	blocker  *pgx.Conn
	tx       pgx.Tx
	appended chan error
	// cancel ends the caller's context.
	cancel context.CancelFunc
	result eventlog.Result
}

// lose begins an append and lets the client's side of its connection end. The server does not hear of it.
func lose(t *testing.T, compose func(eventlog.Stream) eventlog.Append) *lost {
	t.Helper()
	x := &lost{t: t, url: databases()[1].url(t), appended: make(chan error, 1)}
	x.proxy = startProxy(t, x.url)
	x.admin = openDB(t, x.url)
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: x.proxy.url, LockTimeout: time.Minute, StatementTimeout: time.Minute})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	x.log = openLog(t, db, eventlog.Config{AttemptTimeout: time.Minute, CommitTimeout: time.Minute})
	run(t, x.log)
	s := stream(t, x.log, "!a:x")

	x.blocker, err = pgx.Connect(t.Context(), x.url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, x.blocker.Close(context.Background())) })
	x.tx, err = x.blocker.Begin(t.Context())
	require.NoError(t, err)
	_, err = x.tx.Exec(t.Context(), "SELECT 1 FROM room_shard WHERE shard = $1 FOR UPDATE", s.Shard)
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	x.cancel = cancel
	go func() {
		var err error
		x.result, err = x.log.Append(ctx, compose(s))
		x.appended <- err
	}()
	x.await("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()", 1)
	return x
}

// TestSettlingSparesAnotherProcess loses a connection whose process has ended, and whose pid another session has got
// since: that one has nothing to do with the append, and is left alone.
func TestSettlingSparesAnotherProcess(t *testing.T) {
	url := databases()[1].url(t)
	bystander, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, bystander.Close(context.Background())) })

	p := startProxy(t, url)
	l := openLog(t, openDB(t, p.url), eventlog.Config{})
	p.pid.Store(bystander.PgConn().PID())
	run(t, l)
	s := stream(t, l, "!a:x")
	_, err = l.Append(t.Context(), message(s, 0, "$1")) // over a connection that is said to end in the bystander
	require.NoError(t, err)
	p.cut(cutAnswer)
	r, err := l.Append(t.Context(), message(s, 1, "$2"))
	require.NoError(t, err)
	require.EqualValues(t, 2, r.Seq)
	require.NoError(t, bystander.Ping(t.Context()), "the bystander was ended")
}

func (x *lost) await(query string, want int) {
	x.t.Helper()
	require.Eventually(x.t, func() bool {
		var n int
		err := x.admin.QueryRow(context.Background(), query).Scan(&n)
		return err == nil && n == want
	}, patience, time.Millisecond)
}

func (x *lost) release() {
	x.t.Helper()
	require.NoError(x.t, x.tx.Commit(context.Background()))
}

func anyMessage(s eventlog.Stream) eventlog.Append { return message(s, eventlog.AnySeq, "$1") }
func nextMessage(s eventlog.Stream) eventlog.Append {
	a := message(s, 0, "$1")
	a.Txns = []eventlog.Txn{{Scope: "alice", ID: "t", Response: []byte("$1")}}
	return a
}

// TestLostAppendThatWasCommitted lets the server commit what the client has lost: the log finds its own entries.
func TestLostAppendThatWasCommitted(t *testing.T) {
	for name, compose := range map[string]func(eventlog.Stream) eventlog.Append{"any": anyMessage, "next": nextMessage} {
		t.Run(name, func(t *testing.T) {
			x := lose(t, compose)
			x.proxy.cut(cutSilent)
			x.release()
			x.await("SELECT count(*) FROM room_entry", 1)
			x.proxy.cutClient()
			require.NoError(t, <-x.appended)
			require.Equal(t, eventlog.Result{Seq: 1, Positions: []int64{1}}, x.result)
			fresh := openLog(t, x.admin, eventlog.Config{})
			require.Equal(t, []string{"1/1 $1"}, content(t, fresh, eventlog.ShardOf("!a:x", fresh.Shards())))
			records, through, err := x.log.Read(t.Context(), eventlog.ShardOf("!a:x", fresh.Shards()), 0, 10)
			require.NoError(t, err)
			require.EqualValues(t, 1, through)
			require.Len(t, records, 1)
		})
	}
}

// TestLostAppendThatStillWaits has the server's process wait for its lock while the log repeats the append: the
// process is ended before, so that it cannot write it a second time.
func TestLostAppendThatStillWaits(t *testing.T) {
	for name, compose := range map[string]func(eventlog.Stream) eventlog.Append{"any": anyMessage, "next": nextMessage} {
		t.Run(name, func(t *testing.T) {
			x := lose(t, compose)
			var waiting int64
			require.NoError(t, x.admin.QueryRow(t.Context(),
				"SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()").Scan(&waiting))
			x.proxy.cutClient()
			require.Eventually(t, func() bool {
				var n int
				err := x.admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE pid = $1", waiting).Scan(&n)
				return err == nil && n == 0
			}, patience, time.Millisecond, "the lost process is ended")
			x.release()
			require.NoError(t, <-x.appended)
			require.Equal(t, eventlog.Result{Seq: 1, Positions: []int64{1}}, x.result)
			fresh := openLog(t, x.admin, eventlog.Config{})
			require.Equal(t, []string{"1/1 $1"}, content(t, fresh, eventlog.ShardOf("!a:x", fresh.Shards())))
		})
	}
}

// TestUnknownOutcomeIsSaid lets the caller's time run out while its append waits in the server.
func TestUnknownOutcomeIsSaid(t *testing.T) {
	x := lose(t, anyMessage)
	x.cancel()
	require.ErrorIs(t, <-x.appended, eventlog.ErrUnknown)
	x.release()
	x.await("SELECT count(*) FROM room_entry", 1)
}
