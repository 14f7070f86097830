package fault_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"github.com/valyala/fasthttp"

	"hongyan/bench"
	"hongyan/test/harness"
)

// load puts load on a server until it is stopped, and remembers what was accepted.
type load struct {
	mu    sync.Mutex
	sent  []bench.Message
	begun chan struct{}
	stop  context.CancelFunc
	ended chan struct{}
}

func startLoad(t *testing.T, server *harness.Server) *load {
	l := &load{begun: make(chan struct{}), ended: make(chan struct{})}
	cfg := bench.DefaultConfig()
	cfg.URL, cfg.Mode, cfg.Users, cfg.Senders = server.URL, bench.ModePairs, 10, 5
	cfg.Warmup, cfg.Duration, cfg.Drain = 0, 10*time.Minute, time.Second
	cfg.Accepted = func(m bench.Message) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.sent = append(l.sent, m); len(l.sent) == enough {
			close(l.begun)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.stop = cancel
	go func() {
		defer close(l.ended)
		_, _ = bench.Run(ctx, cfg, func(string) {}) // it is interrupted: what it would report does not matter
	}()
	t.Cleanup(l.end)
	select {
	case <-l.begun:
	case <-l.ended:
		require.Fail(t, "the load ended")
	case <-time.After(2 * time.Minute):
		require.Fail(t, "there is no load")
	}
	return l
}

// enough messages are there before anything else happens.
const enough = 2000

// accepted are the messages that were accepted so far.
func (l *load) accepted() []bench.Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]bench.Message{}, l.sent...)
}

// afresh are the messages with senders that know no connections to a server that was restarted.
func afresh(t *testing.T, server *harness.Server, sent []bench.Message) []bench.Message {
	transport := bench.NewTransport(64)
	t.Cleanup(transport.CloseIdleConnections)
	clients := map[*bench.Client]*bench.Client{}
	again := make([]bench.Message, len(sent))
	for i, m := range sent {
		c := clients[m.Sender]
		if c == nil {
			c = bench.NewClient(transport, server.URL)
			c.Token, c.UserID, c.DeviceID = m.Sender.Token, m.Sender.UserID, m.Sender.DeviceID
			clients[m.Sender] = c
		}
		m.Sender = c
		again[i] = m
	}
	return again
}

func (l *load) end() {
	l.stop()
	<-l.ended
}

// client is an account beside the load.
type client struct {
	t         *testing.T
	transport *fasthttp.Client
	*bench.Client
}

// reconnect forgets the connections to a server that was restarted.
func (c *client) reconnect() { c.transport.CloseIdleConnections() }

func newClient(t *testing.T, server *harness.Server, name string) *client {
	t.Helper()
	transport := bench.NewTransport(8)
	c := &client{t, transport, bench.NewClient(transport, server.URL)}
	t.Cleanup(c.reconnect)
	require.NoError(t, c.Register(t.Context(), name, "secret of "+name, "", ""))
	return c
}

// poll syncs once and returns the answer.
func (c *client) poll(since string) gjson.Result {
	c.t.Helper()
	var answer gjson.Result
	require.NoError(c.t, c.Sync(c.t.Context(), since, `{}`, 0, func(body []byte) error {
		answer = gjson.Parse(string(body))
		return nil
	}))
	return answer
}

// until syncs from a token until the room's timeline has so many messages, and returns their texts and the token.
func (c *client) until(since, roomID string, n int) (texts []string, next string) {
	c.t.Helper()
	next = since
	require.Eventually(c.t, func() bool {
		answer := c.poll(next)
		next = answer.Get("next_batch").String()
		texts = append(texts, timeline(answer, roomID)...)
		return len(texts) >= n
	}, 30*time.Second, 10*time.Millisecond)
	return texts, next
}

func (c *client) say(roomID, txnID, text string) (eventID string) {
	c.t.Helper()
	eventID, err := c.Send(c.t.Context(), roomID, txnID, []byte(`{"msgtype":"m.text","body":"`+text+`"}`))
	require.NoError(c.t, err)
	return eventID
}

// timeline are the texts of the messages of a room in an answer of /sync.
func timeline(answer gjson.Result, roomID string) (texts []string) {
	answer.Get("rooms.join").ForEach(func(id, room gjson.Result) bool {
		if id.String() != roomID {
			return true
		}
		for _, e := range room.Get("timeline.events").Array() {
			if e.Get("type").String() == "m.room.message" {
				texts = append(texts, e.Get("content.body").String())
			}
		}
		return false
	})
	return texts
}

// joined are the rooms in an answer of /sync, and which of them have a limited timeline.
func joined(answer gjson.Result) map[string]bool {
	rooms := map[string]bool{}
	answer.Get("rooms.join").ForEach(func(id, room gjson.Result) bool {
		rooms[id.String()] = room.Get("timeline.limited").Bool()
		return true
	})
	return rooms
}

// state is the whole state of a room, by type and state key.
func (c *client) state(roomID string) map[string]string {
	c.t.Helper()
	found := map[string]string{}
	err := c.Do(c.t.Context(), "GET", "/_matrix/client/v3/rooms/"+roomID+"/state", nil, time.Minute, func(body []byte) error {
		for _, e := range gjson.ParseBytes(body).Array() {
			found[e.Get("type").String()+"|"+e.Get("state_key").String()] = e.Get("event_id").String() + e.Get("content").Raw
		}
		return nil
	})
	require.NoError(c.t, err)
	return found
}
