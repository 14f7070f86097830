package room_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/bus/memory"
	"hongyan/platform/sqldb"
	"hongyan/service/room"
	"hongyan/test/pgtest"
)

// A panic in the middle of a batch is its operations' error. The room goes on, whoever runs it.
func TestRoomOutlivesPanics(t *testing.T) {
	var tick atomic.Pointer[func()]
	clock := func() time.Time {
		if f := tick.Load(); f != nil {
			(*f)()
		}
		return time.Now()
	}
	cfg := room.Default()
	cfg.QueueLength = 1
	g := newWorldOf(t, databases["sqlite"](t), nil, cfg, clock)
	id := g.create("")
	send := func(txn string) answer {
		return g.doRaw("alice", http.MethodPut, roomPath(id, "send", "m.room.message", txn), `{}`)
	}
	fail := func() {
		tick.Store(nil)
		panic("the clock has stopped")
	}

	tick.Store(&fail)
	a := send("first")
	require.Equal(t, 500, a.status, string(a.body))
	require.Equal(t, "M_UNKNOWN", a.code())
	require.Equal(t, 200, send("first").status, "the caller ran the batch")

	// One operation is under way, one waits, and the third finds the queue full.
	entered, release := make(chan struct{}), make(chan struct{})
	hold := func() {
		tick.Store(&fail)
		close(entered)
		<-release
	}
	tick.Store(&hold)
	held, others := make(chan answer, 1), make(chan answer, 2)
	go func() { held <- send("held") }()
	<-entered
	for i := range 2 {
		go func() { others <- send(fmt.Sprint(i)) }()
	}
	require.Equal(t, 429, (<-others).status)
	close(release)
	require.Equal(t, 200, (<-held).status)
	require.Equal(t, 500, (<-others).status)
	require.Equal(t, 200, send("last").status, "a goroutine ran the batch")
	require.Len(t, g.verify(id, event.V12), 6+3)
}

// A log that cannot be written ends the service at once, with the reason.
func TestRunEndsWithTheLog(t *testing.T) {
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "room.db")})
	require.NoError(t, err)
	wakes := memory.New(4)
	s, err := room.New(room.Default(), room.Deps{
		DB: db, Bus: wakes, Identity: noIdentity{}, IdentityLog: emptyLog{}, Server: "hs",
	})
	require.NoError(t, err)
	require.NoError(t, s.Prepare(t.Context()))
	broken := errors.New("no log")
	require.ErrorIs(t, s.RunWith(t.Context(), func(context.Context) error { return broken }), broken)
	require.NoError(t, wakes.Close())
	require.NoError(t, db.Close())
}

// A connection that is lost without a word costs the receipts that were on it, not those that follow.
func TestReceiptsOutliveALostConnection(t *testing.T) {
	p := startSwallower(t, pgtest.Start(t))
	cfg := room.Default()
	cfg.CommitTimeout = 2 * time.Second
	g := newWorldWith(t, p.url, nil, cfg)
	t.Cleanup(func() { close(p.found) }) // the database's Close waits for connections that were given up
	id := g.create("")
	seen := g.say("alice", id, "x")
	p.next([]byte("JOIN room_latest l"))
	_, err := g.read("alice", id, seen, "")
	var e *matrix.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 503, e.Status)
	require.True(t, p.swallowed.Load())
	_, err = g.read("alice", id, seen, "")
	require.NoError(t, err)
}

// swallower stands before PostgreSQL. It loses one connection without telling anybody.
type swallower struct {
	url       string
	trigger   atomic.Pointer[[]byte]
	swallowed atomic.Bool
	// found ends the connection that was lost.
	found chan struct{}
}

// next loses the connection on which these bytes are sent next.
func (p *swallower) next(trigger []byte) { p.trigger.Store(&trigger) }

func startSwallower(t *testing.T, dsn string) *swallower {
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	target := u.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	u.Host = l.Addr().String()
	p := &swallower{url: u.String(), found: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			wg.Go(func() {
				defer func() { _ = client.Close() }()
				_, _ = io.Copy(client, server)
			})
			wg.Go(func() {
				defer func() { _ = server.Close() }()
				p.pass(server, client)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return p
}

// pass copies what the client says until it is told to lose it.
func (p *swallower) pass(server, client net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if trigger := p.trigger.Load(); trigger != nil && bytes.Contains(buf[:n], *trigger) {
			p.trigger.Store(nil)
			p.swallowed.Store(true)
			<-p.found
			_ = client.Close()
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}
