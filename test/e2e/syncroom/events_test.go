package syncroom_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
)

// looking asks GET /events of a room after a token.
func (c *client) looking(room, from string, timeout time.Duration) answer {
	c.g.t.Helper()
	q := url.Values{"room_id": {room}, "timeout": {strconv.FormatInt(timeout.Milliseconds(), 10)}}
	if from != "" {
		q.Set("from", from)
	}
	return c.do(c.handler(), http.MethodGet, "/events?"+q.Encode(), nil)
}

// looked is looking where it succeeds.
func (c *client) looked(room, from string, timeout time.Duration) result {
	c.g.t.Helper()
	a := c.looking(room, from, timeout)
	require.Equal(c.g.t, http.StatusOK, a.status, string(a.body))
	return result{c.g.t, a.object()}
}

// later looks in the background until something comes, once it waits.
func (c *client) later(room, from string) <-chan answer {
	c.g.t.Helper()
	parked := c.g.sync.service.Parked()
	done := make(chan answer, 1)
	go func() { done <- c.looking(room, from, time.Minute) }()
	require.Eventually(c.g.t, func() bool { return c.g.sync.service.Parked() == parked+1 }, 10*time.Second, time.Millisecond)
	return done
}

func (r result) texts() []string {
	var texts []string
	for _, e := range r.list("chunk") {
		texts = append(texts, e.str("content", "body"))
	}
	return texts
}

func worldReadable(visibility string) map[string]any {
	return map[string]any{"history_visibility": visibility}
}

// TestEventsFromOutside follows a room without being in it, as one does who previews it: from initialSync on, each event
// once and in order, and nothing once the room is closed.
func TestEventsFromOutside(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, peeker := g.client("alice"), g.client("peeker")
		room := alice.create(nil)
		alice.say(room, "hidden")
		require.Equal(t, 403, peeker.looking(room, "", 0).status)
		alice.state(room, "m.room.history_visibility", "", worldReadable("world_readable"))
		alice.say(room, "before")

		first := peeker.room(http.MethodGet, "/rooms/"+esc(room)+"/initialSync", nil)
		token := first["messages"].(map[string]any)["end"].(string)
		none := peeker.looked(room, token, 0)
		require.Equal(t, token, none.str("start"))
		require.Equal(t, token, none.str("end"))
		require.Empty(t, none.list("chunk"))

		waiting := peeker.later(room, token)
		id := alice.say(room, "one")
		got := result{t, (<-waiting).object()}
		require.Equal(t, []string{"one"}, got.texts())
		require.Equal(t, id, got.list("chunk")[0].str("event_id"))
		require.Equal(t, room, got.list("chunk")[0].str("room_id"))
		require.Equal(t, token, got.str("start"))

		fresh := peeker.looked(room, "", 0)
		require.Empty(t, fresh.list("chunk"), "without a token it begins now")
		alice.state(room, "m.room.name", "", map[string]any{"name": "two"})
		alice.say(room, "three")
		require.Len(t, peeker.looked(room, fresh.str("end"), time.Minute).list("chunk"), 2)
		both := peeker.looked(room, got.str("end"), 0)
		require.Equal(t, []string{"", "three"}, both.texts())
		require.Empty(t, peeker.looked(room, both.str("end"), 0).list("chunk"))

		waiting = peeker.later(room, both.str("end"))
		alice.state(room, "m.room.history_visibility", "", worldReadable("shared"))
		last := <-waiting
		require.Equal(t, 403, last.status, "who looks in is told at once that they may not any more: %s", last.body)
		alice.say(room, "private")
		require.Equal(t, 403, peeker.looking(room, both.str("end"), 0).status)
	})
}

// TestEventsOfManyPages goes through more events than one answer holds.
func TestEventsOfManyPages(t *testing.T) {
	g := onSQLite(t)
	alice := g.client("alice")
	room := alice.create(nil)
	alice.sync()
	token := alice.since // those of /sync are good too
	var said []string
	for i := range 230 {
		said = append(said, strconv.Itoa(i))
		alice.say(room, said[i])
	}
	var seen []string
	for len(seen) < len(said) {
		page := alice.looked(room, token, 0)
		require.NotEmpty(t, page.list("chunk"))
		require.LessOrEqual(t, len(page.list("chunk")), 100)
		seen, token = append(seen, page.texts()...), page.str("end")
	}
	require.Equal(t, said, seen)
	require.Empty(t, alice.looked(room, token, 0).list("chunk"))
}

// TestEventsOfIgnoredUsers shows state whoever set it, and nothing else of who is ignored.
func TestEventsOfIgnoredUsers(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.client("alice"), g.client("bob")
		room := alice.create(nil)
		bob.join(room)
		token := alice.looked(room, "", 0).str("end")
		alice.ok(http.MethodPut, "/user/"+alice.user+"/account_data/m.ignored_user_list",
			map[string]any{"ignored_users": map[string]any{bob.user: map[string]any{}}})
		waiting := alice.later(room, token)
		bob.say(room, "his")
		alice.say(room, "hers")
		got := result{t, (<-waiting).object()}
		require.Equal(t, []string{"hers"}, got.texts())
		bob.leave(room)
		left := alice.looked(room, got.str("end"), time.Minute).list("chunk")
		require.Len(t, left, 1)
		require.Equal(t, "m.room.member", left[0].str("type"))
	})
}

// TestEventsEnd lets waiting ones go with an instance that stops, and with a client that hangs up.
func TestEventsEnd(t *testing.T) {
	g := onSQLite(t)
	alice := g.client("alice")
	room := alice.create(nil)
	token := alice.looked(room, "", 0).str("end")

	ctx, cancel := context.WithCancel(t.Context())
	query := url.Values{"room_id": {room}, "from": {token}}.Encode()
	r := httptest.NewRequest(http.MethodGet, "/_matrix/client/v3/events?"+query, nil).WithContext(ctx)
	httpx.SetCaller(r.Header, httpx.Caller{UserID: alice.user, DeviceID: alice.device})
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		g.sync.handler.ServeHTTP(httptest.NewRecorder(), r)
	}()
	require.Eventually(t, func() bool { return g.sync.service.Parked() == 1 }, 10*time.Second, time.Millisecond)
	cancel()
	<-gone
	require.Zero(t, g.sync.service.Parked())

	waiting := alice.later(room, token)
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.NoError(t, g.sync.service.Drain(ctx))
	left := <-waiting
	require.Equal(t, 200, left.status)
	require.Equal(t, token, result{t, left.object()}.str("end"))
}

func TestEventsRefused(t *testing.T) {
	g := onSQLite(t)
	alice, bob := g.client("alice"), g.client("bob")
	room := alice.create(map[string]any{"preset": "private_chat"})
	token := alice.looked(room, "", 0).str("end")
	for name, c := range map[string]struct {
		who    *client
		query  url.Values
		status int
		code   string
	}{
		"no room":          {alice, url.Values{"from": {token}}, 400, "M_MISSING_PARAM"},
		"no room id":       {alice, url.Values{"room_id": {"#x:hs"}}, 400, "M_INVALID_PARAM"},
		"unknown room":     {alice, url.Values{"room_id": {"!x:hs"}}, 403, "M_FORBIDDEN"},
		"stranger":         {bob, url.Values{"room_id": {room}}, 403, "M_FORBIDDEN"},
		"stranger's token": {bob, url.Values{"room_id": {room}, "from": {token}}, 403, "M_FORBIDDEN"},
		"token":            {alice, url.Values{"room_id": {room}, "from": {"x"}}, 400, "M_INVALID_PARAM"},
		"timeout":          {alice, url.Values{"room_id": {room}, "timeout": {"-1"}}, 400, "M_INVALID_PARAM"},
		"timeout's type":   {alice, url.Values{"room_id": {room}, "timeout": {"soon"}}, 400, "M_INVALID_PARAM"},
	} {
		a := c.who.do(c.who.handler(), http.MethodGet, "/events?"+c.query.Encode(), nil)
		require.Equal(t, c.status, a.status, "%s: %s", name, a.body)
		require.Equal(t, c.code, a.object()["errcode"], name)
	}
}

// TestEventsAreBounded refuses who looks into too many rooms at once.
func TestEventsAreBounded(t *testing.T) {
	g := onSQLite(t)
	alice, bob := g.client("alice"), g.client("bob")
	room := alice.create(nil)
	bob.join(room)
	token := alice.looked(room, "", 0).str("end")
	var waiting []<-chan answer
	for range 32 {
		waiting = append(waiting, alice.later(room, token))
	}
	a := alice.looking(room, token, time.Minute)
	require.Equal(t, 429, a.status)
	require.Equal(t, "M_LIMIT_EXCEEDED", a.object()["errcode"])
	require.Equal(t, 200, bob.looking(room, token, 0).status, "nobody else is kept out")
	bob.say(room, "hello")
	for _, w := range waiting {
		require.Equal(t, 200, (<-w).status)
	}
	require.Equal(t, 200, alice.looking(room, token, 0).status)
}
