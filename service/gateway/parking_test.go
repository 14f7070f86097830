package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	identitypb "hongyan/api/identity"
	"hongyan/platform/httpx"
	"hongyan/service/gateway"
)

// parkingEdge is a gateway on its own listener, whose polls hand themselves over at once.
type parkingEdge struct {
	*edge
	t       *testing.T
	address string
	// waits gets a value for each poll that waits: whether it was taken over.
	waits chan bool
	// news answers one poll; ended gets why a poll ended without an answer.
	news  chan string
	ended chan error
	// stop stops the listener, and then the gateway.
	stop func()
}

func newParkingEdge(t *testing.T) *parkingEdge {
	t.Helper()
	p := &parkingEdge{
		edge: newEdge(t, edgeOptions{}), t: t,
		waits: make(chan bool, 1024), news: make(chan string), ended: make(chan error, 1024),
	}
	p.poll = func(w http.ResponseWriter, r *http.Request) error {
		<-p.polls // which counts handlers, not waits
		if httpx.Park(w, func(ctx context.Context, w http.ResponseWriter) error { return p.wait(ctx, w, true) }) {
			return nil
		}
		return p.wait(r.Context(), w, false)
	}
	l := gateway.NewListener("test", p.service, nil)
	require.NoError(t, l.Listen(t.Context(), "127.0.0.1:0"))
	p.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	outside, closeOutside := context.WithCancel(ctx)
	listened, ran := make(chan error, 1), make(chan error, 1)
	go func() { listened <- l.Run(outside, ctx) }()
	go func() { ran <- p.service.Run(ctx) }()
	stopped := false
	p.stop = func() {
		if stopped {
			return
		}
		stopped = true
		closeOutside()
		require.NoError(t, <-listened)
		cancel()
		require.NoError(t, <-ran)
	}
	t.Cleanup(p.stop)
	return p
}

// wait is what a service does with a parked poll.
func (p *parkingEdge) wait(ctx context.Context, w http.ResponseWriter, taken bool) error {
	p.waits <- taken
	select {
	case text := <-p.news:
		if text == "panic" {
			panic("as told")
		}
		if text == "error" {
			return errors.New("the secret cause")
		}
		httpx.WriteJSON(w, http.StatusOK, text)
		return nil
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), httpx.ErrAnswerNow) {
			httpx.WriteJSON(w, http.StatusOK, "unchanged")
			return nil
		}
		p.ended <- ctx.Err()
		return ctx.Err()
	}
}

// client is one TCP connection.
type client struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (p *parkingEdge) dial() *client {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.address)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = conn.Close() })
	return &client{t: p.t, Conn: conn, r: bufio.NewReader(conn)}
}

func (c *client) send(path, token string, headers ...string) {
	c.t.Helper()
	text := "GET " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\n"
	for _, h := range headers {
		text += h + "\r\n"
	}
	_, err := io.WriteString(c, text+"\r\n")
	require.NoError(c.t, err)
}

// head is an answer without its body.
type head struct {
	status int
	header http.Header
	close  bool
}

func (c *client) read() (head, any) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	require.NoError(c.t, err)
	raw, err := io.ReadAll(resp.Body)
	require.NoError(c.t, errors.Join(err, resp.Body.Close()))
	var body any
	require.NoError(c.t, json.Unmarshal(raw, &body), string(raw))
	return head{status: resp.StatusCode, header: resp.Header, close: resp.Close}, body
}

func TestATakenPollIsAnsweredAndItsConnectionServesOn(t *testing.T) {
	p := newParkingEdge(t)
	c := p.dial()
	for i := range 3 {
		c.send(syncPath+"?since=1", "tok-alice")
		require.True(t, <-p.waits, "taken over")
		news := fmt.Sprint("news ", i)
		p.news <- news
		resp, body := c.read()
		require.Equal(t, 200, resp.status)
		require.Equal(t, news, body)
		require.Equal(t, "application/json", resp.header.Get("Content-Type"))
		require.Equal(t, "*", resp.header.Get("Access-Control-Allow-Origin"))
		require.NotEmpty(t, resp.header.Get("X-Request-Id"))
		require.NotEmpty(t, resp.header.Get("Date"))
		c.send(whoami, "tok-alice")
		_, body = c.read()
		require.Equal(t, "@alice:x", body.(map[string]any)["user"])
	}
}

func TestAnErrorOfATakenPoll(t *testing.T) {
	captureLogs(t, "error")
	p := newParkingEdge(t)
	c := p.dial()
	c.send(syncPath, "tok-alice")
	<-p.waits
	p.news <- "error"
	resp, body := c.read()
	require.Equal(t, 500, resp.status)
	require.Equal(t, "M_UNKNOWN", body.(map[string]any)["errcode"])
	require.NotContains(t, body.(map[string]any)["error"], "secret")
	c.send(whoami, "tok-alice")
	resp, _ = c.read()
	require.Equal(t, 200, resp.status)
}

func TestAPanicOfATakenPollEndsItsConnectionOnly(t *testing.T) {
	captureLogs(t, "off")
	p := newParkingEdge(t)
	c, other := p.dial(), p.dial()
	c.send(syncPath, "tok-alice")
	<-p.waits
	p.news <- "panic"
	_, err := c.r.ReadByte()
	require.Error(t, err)
	other.send(whoami, "tok-alice")
	resp, _ := other.read()
	require.Equal(t, 200, resp.status)
}

func TestATakenPollEndsWithItsClient(t *testing.T) {
	p := newParkingEdge(t)
	c := p.dial()
	c.send(syncPath, "tok-alice")
	<-p.waits
	require.NoError(t, c.Close())
	require.ErrorIs(t, <-p.ended, context.Canceled)
}

func TestAClientThatSendsEarly(t *testing.T) {
	p := newParkingEdge(t)
	c := p.dial()
	c.send(syncPath, "tok-alice")
	<-p.waits
	c.send(whoami, "tok-bob") // it did not wait for the answer
	c.send(whoami, "tok-alice")
	p.news <- "news"
	_, body := c.read()
	require.Equal(t, "news", body)
	for _, user := range []string{"@bob:x", "@alice:x"} {
		_, body = c.read()
		require.Equal(t, user, body.(map[string]any)["user"])
	}
	// Both at once: the second request is read together with the poll.
	_, err := io.WriteString(c, "GET "+syncPath+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer tok-alice\r\n\r\n"+
		"GET "+whoami+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer tok-bob\r\n\r\n")
	require.NoError(t, err)
	require.True(t, <-p.waits)
	p.news <- "more"
	_, body = c.read()
	require.Equal(t, "more", body)
	_, body = c.read()
	require.Equal(t, "@bob:x", body.(map[string]any)["user"])
}

func TestForgettingEndsATakenPoll(t *testing.T) {
	p := newParkingEdge(t)
	alice, second := p.dial(), p.dial()
	alice.send(syncPath, "tok-alice")
	<-p.waits
	second.send(syncPath, "tok-alice2")
	<-p.waits
	p.identity.set("tok-alice", nil)
	p.forgetTokens("@alice:x", "A1")
	resp, body := alice.read()
	require.Equal(t, 401, resp.status)
	require.Equal(t, "M_UNKNOWN_TOKEN", body.(map[string]any)["errcode"])
	require.Equal(t, "*", resp.header.Get("Access-Control-Allow-Origin"))

	p.identity.set("tok-alice2", &identitypb.AuthenticateResponse{UserId: "@alice:x", DeviceId: "A2", Suspended: true})
	p.forgetTokens("@alice:x")
	resp, body = second.read()
	require.Equal(t, 200, resp.status, "the token is still good")
	require.Equal(t, "unchanged", body)

	second.send(syncPath, "tok-alice2")
	<-p.waits
	p.identity.set("tok-alice2", &identitypb.AuthenticateResponse{UserId: "@alice:x", DeviceId: "A2", Locked: true})
	p.forgetTokens("@alice:x", "A2")
	_, body = second.read()
	require.Equal(t, "M_USER_LOCKED", body.(map[string]any)["errcode"])
}

func TestStoppingAnswersTakenPolls(t *testing.T) {
	p := newParkingEdge(t)
	c := p.dial()
	c.send(syncPath, "tok-alice")
	<-p.waits
	p.stop()
	_, body := c.read()
	require.Equal(t, "unchanged", body)
	_, err := c.r.ReadByte()
	require.ErrorIs(t, err, io.EOF)
}

// TestWhatIsNotTaken waits within net/http: what is not kept alive, has a body, or is no HTTP/1.1.
func TestWhatIsNotTaken(t *testing.T) {
	p := newParkingEdge(t)
	c := p.dial()
	c.send(syncPath, "tok-alice", "Connection: close")
	require.False(t, <-p.waits)
	p.news <- "news"
	resp, body := c.read()
	require.Equal(t, "news", body)
	require.True(t, resp.close)

	c = p.dial()
	c.send(syncPath, "tok-alice", "Content-Length: 2")
	_, err := io.WriteString(c, "{}")
	require.NoError(t, err)
	require.False(t, <-p.waits)
	p.news <- "news"
	_, body = c.read()
	require.Equal(t, "news", body)

	c = p.dial()
	_, err = io.WriteString(c, "GET "+syncPath+" HTTP/1.0\r\nAuthorization: Bearer tok-alice\r\n\r\n")
	require.NoError(t, err)
	require.False(t, <-p.waits)
	p.news <- "news"
	_, body = c.read()
	require.Equal(t, "news", body)
}

// TestAPollWhoseConnectionCannotBeTaken has writers that cannot be hijacked, and in the end a gateway that has stopped.
func TestAPollWhoseConnectionCannotBeTaken(t *testing.T) {
	p := newParkingEdge(t)
	plain := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.service.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
	}), nil)
	p.address = strings.TrimPrefix(plain.url, "http://")
	c := p.dial()
	c.send(syncPath, "tok-alice")
	<-p.waits
	p.identity.set("tok-alice", nil)
	p.forgetTokens("@alice:x", "A1")
	resp, body := c.read()
	require.Equal(t, 401, resp.status)
	require.Equal(t, "M_UNKNOWN_TOKEN", body.(map[string]any)["errcode"])

	c.send(syncPath, "tok-bob")
	<-p.waits
	p.forgetTokens("@bob:x", "B1")
	require.True(t, <-p.waits, "begun anew, and handed over anew: the token is still good")
	p.news <- "news"
	resp, body = c.read()
	require.Equal(t, 200, resp.status)
	require.Equal(t, "news", body)

	p.stop()
	c.send(syncPath, "tok-bob")
	_, body = c.read()
	require.Equal(t, "unchanged", body)
}

// inUse is the memory that the process uses, in bytes, after everything unused was freed.
func inUse() float64 {
	for range 3 { // stacks shrink by half each time
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse + m.StackInuse)
}

// parkedCost parks n polls and returns the bytes that each costs, the client's end of the connection included.
func parkedCost(t *testing.T, p *parkingEdge, n int) float64 {
	t.Helper()
	before := inUse()
	conns := make([]net.Conn, n)
	for i := range conns {
		tok := fmt.Sprint("tok-", i)
		p.identity.set(tok, &identitypb.AuthenticateResponse{UserId: fmt.Sprintf("@user%d:x", i), DeviceId: "DEVICE"})
		conn, err := net.Dial("tcp", p.address)
		require.NoError(t, err)
		conns[i] = conn
		_, err = io.WriteString(conn, "GET "+syncPath+"?since=s1&timeout=30000 HTTP/1.1\r\nHost: example.org\r\n"+
			"User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: application/json\r\nAuthorization: Bearer "+tok+"\r\n\r\n")
		require.NoError(t, err)
		require.True(t, <-p.waits)
	}
	cost := (inUse() - before) / float64(n)
	for _, conn := range conns {
		require.NoError(t, conn.Close())
	}
	for range conns {
		require.Error(t, <-p.ended)
	}
	return cost
}

func TestATakenPollCostsLittleMemory(t *testing.T) {
	p := newParkingEdge(t)
	parkedCost(t, p, 100) // fills pools
	p.clock.add(time.Hour)
	cost := parkedCost(t, p, 1000)
	t.Logf("%.1f KiB a parked poll", cost/1024)
	require.Less(t, cost, 16*1024.0)
}
