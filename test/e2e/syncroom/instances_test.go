package syncroom_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/synctoken"
)

// pair is a rig with two sync services, and a client that can be moved between them.
func pair(t *testing.T) (g *rig, both [2]*node) {
	rooms, syncs := databases["postgres"](t)
	g = newRig(t, rooms, syncs)
	return g, [2]*node{g.sync, g.startSync()}
}

// comparable is an answer without what tells the time: the age of its events, and its token beside the positions.
func comparable(t *testing.T, r result) string {
	t.Helper()
	var strip func(v any)
	strip = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			delete(v, "age")
			for _, inner := range v {
				strip(inner)
			}
		case []any:
			for _, inner := range v {
				strip(inner)
			}
		}
	}
	strip(r.v)
	token, err := synctoken.Parse(r.str("next_batch"))
	require.NoError(t, err)
	token.Millis, token.Typing = 0, 0
	r.v.(map[string]any)["next_batch"] = token.String()
	raw, err := json.Marshal(r.v)
	require.NoError(t, err)
	return string(raw)
}

// TestOwnWritesAreSeenAtOnce sends a user's requests to two instances in turn: what one has written the other knows.
func TestOwnWritesAreSeenAtOnce(t *testing.T) {
	g, both := pair(t)
	alice, bob := g.client("alice"), g.client("bob")
	room := alice.create(nil)
	bob.join(room)
	user := "/user/" + esc(alice.user)
	alice.sync()
	for i := range 10 {
		writer, reader := both[i%2], both[(i+1)%2]
		at := func(n *node) *client { alice.node = n; return alice }
		data := map[string]any{"n": float64(i)}

		at(writer).ok(http.MethodPut, user+"/account_data/org.example", data)
		require.Equal(t, data, at(reader).ok(http.MethodGet, user+"/account_data/org.example", nil))
		require.Equal(t, float64(i), at(reader).sync().list("account_data", "events")[0].get("content", "n").v)

		tag := fmt.Sprintf("u.%d", i)
		at(writer).ok(http.MethodPut, user+"/rooms/"+esc(room)+"/tags/"+tag, map[string]any{})
		require.Contains(t, at(reader).ok(http.MethodGet, user+"/rooms/"+esc(room)+"/tags", nil)["tags"], tag)
		require.Equal(t, []string{"m.tag"}, at(reader).sync().join(room).types("account_data"))

		filter := at(writer).ok(http.MethodPost, user+"/filter", map[string]any{"room": map[string]any{
			"timeline": map[string]any{"limit": i + 1},
		}})["filter_id"].(string)
		alice.filter = filter
		at(reader).sync()
		alice.filter = ""

		rule := "/pushrules/global/content/r" + fmt.Sprint(i)
		at(writer).ok(http.MethodPut, rule, map[string]any{"pattern": "x", "actions": []any{"notify"}})
		at(reader).ok(http.MethodGet, rule, nil)
		require.Equal(t, []string{"m.push_rules"}, at(reader).sync().types("account_data"))

		id := bob.say(room, fmt.Sprintf("message %d", i))
		require.Equal(t, 1, at(writer).sync().join(room).num("unread_notifications", "notification_count"))
		at(writer).ok(http.MethodPost, "/rooms/"+esc(room)+"/receipt/m.read.private/"+esc(id), map[string]any{})
		require.Equal(t, float64(0), at(reader).sync().join(room).get("unread_notifications", "notification_count").v)
	}
}

// TestTheSameTokenGivesTheSameAnswerElsewhere lets two instances answer from the same tokens.
func TestTheSameTokenGivesTheSameAnswerElsewhere(t *testing.T) {
	g, both := pair(t)
	alice, bob := g.client("alice"), g.client("bob")
	room, second := alice.create(nil), alice.create(nil)
	bob.join(room)
	tokens := []string{""}
	for i := range 6 {
		bob.say(room, fmt.Sprintf("message %d", i))
		alice.state(second, "m.room.topic", "", map[string]any{"topic": fmt.Sprint(i)})
		alice.node = both[i%2]
		alice.ok(http.MethodPut, "/user/"+esc(alice.user)+"/account_data/org.example", map[string]any{"n": i})
		alice.sync()
		tokens = append(tokens, alice.since)
	}
	for _, since := range tokens {
		var answers [2]string
		for i, n := range both {
			alice.node = n
			answers[i] = comparable(t, alice.at(since, 0))
		}
		require.Equal(t, answers[0], answers[1])
	}
}

// typers are those of whom a room's answer says that they type; nil where it says nothing.
func typers(r result) any {
	for _, e := range r.list("ephemeral", "events") {
		if e.str("type") == "m.typing" {
			return e.get("content", "user_ids").v
		}
	}
	return nil
}

// TestPollsMoveToAnotherInstance parks polls at one instance and then at another while others write through both.
func TestPollsMoveToAnotherInstance(t *testing.T) {
	g, both := pair(t)
	alice, bob := g.client("alice"), g.client("bob")
	room := alice.create(nil)
	bob.join(room)
	alice.sync()
	for i := range 6 {
		alice.node, bob.node = both[i%2], both[(i+1)%2]
		done := make(chan result, 1)
		go func() {
			r := alice.poll(20 * time.Second)
			for len(r.join(room).bodies()) == 0 { // who types is told again where another instance may have told it
				r = alice.poll(20 * time.Second)
			}
			done <- r
		}()
		text := fmt.Sprintf("message %d", i)
		bob.say(room, text)
		require.Equal(t, []string{text}, (<-done).join(room).bodies())

		typing := []any{}
		if i%2 == 0 {
			typing = append(typing, bob.user)
		}
		go func() {
			r := alice.poll(20 * time.Second)
			for !reflect.DeepEqual(typers(r.join(room)), typing) {
				r = alice.poll(20 * time.Second)
			}
			done <- r
		}()
		bob.ok(http.MethodPut, "/rooms/"+esc(room)+"/typing/"+esc(bob.user), map[string]any{"typing": i%2 == 0, "timeout": 60_000})
		require.Empty(t, (<-done).join(room).bodies())
	}
}
