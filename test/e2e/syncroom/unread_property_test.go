package syncroom_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/pushrules"
	"hongyan/service/sync"
)

// history is a random history of a room, done through the APIs, and noted for the oracle.
type history struct {
	*rand.Rand
	t      *testing.T
	g      *rig
	nodes  []*node
	cfg    sync.Config
	room   string
	admin  *client
	users  []*reader
	extras []*client
	joined map[string]bool
	ids    []string
	roots  []string
	oracle *oracle
	text   int
}

// reader is a user whose counts are compared.
type reader struct {
	*client
	rules   pushrules.Rules
	ignored map[string]bool
	marks   []mark
}

func newHistory(t *testing.T, g *rig, seed uint64) *history {
	cfg := sync.Default()
	cfg.Live.RoomEvents = 12
	h := &history{
		Rand: rand.New(rand.NewPCG(seed, 7)), t: t, g: g, cfg: cfg, joined: map[string]bool{}, oracle: newOracle(g),
	}
	h.nodes = []*node{g.startSyncWith(cfg), g.startSyncWith(cfg)}
	h.admin = g.client("admin")
	h.room = h.admin.create(map[string]any{"preset": "public_chat", "power_level_content_override": map[string]any{
		"users": map[string]any{"@bob:hs": 50}, "notifications": map[string]any{"room": 50},
		"events": map[string]any{"m.room.topic": 0, "m.room.tombstone": 0},
	}})
	for _, name := range []string{"alice", "bob", "carol"} {
		r := &reader{client: g.client(name), ignored: map[string]bool{}}
		r.join(h.room)
		h.users = append(h.users, r)
	}
	for i := range 3 {
		h.extras = append(h.extras, g.client(fmt.Sprint("extra", i)))
	}
	return h
}

func choose[T any](h *history, list ...T) T { return list[h.IntN(len(list))] }

// step does one random thing.
func (h *history) step() {
	switch n := h.IntN(100); {
	case n < 50:
		h.message()
	case n < 60:
		h.relate()
	case n < 66:
		h.redact()
	case n < 74:
		h.receipt()
	case n < 77:
		h.member()
	case n < 80:
		h.power()
	case n < 83:
		h.rename()
	case n < 86:
		h.rule()
	case n < 88:
		h.ignore()
	case n < 90:
		h.restart()
	case n < 91:
		h.rejoin()
	default:
		u := choose(h, h.users...)
		u.node = choose(h, h.nodes...)
		u.sync()
	}
}

func (h *history) anybody() *client {
	list := []*client{h.admin, h.admin, h.admin}
	for _, u := range h.users {
		list = append(list, u.client)
	}
	for _, e := range h.extras {
		if h.joined[e.user] {
			list = append(list, e)
		}
	}
	return choose(h, list...)
}

func (h *history) sent(id string) { h.ids = append(h.ids, id) }

func (h *history) content() map[string]any {
	h.text++
	content := map[string]any{"msgtype": choose(h, "m.text", "m.text", "m.text", "m.notice")}
	content["body"] = fmt.Sprint(choose(h, "hello", "hi Alice", "bob!", "cake", "@room", "name3", "the geese fly"), " ", h.text)
	if h.IntN(3) == 0 {
		mentions := map[string]any{}
		if h.IntN(2) == 0 {
			mentions["user_ids"] = []any{choose(h, h.users...).user}
		}
		if h.IntN(4) == 0 {
			mentions["room"] = true
		}
		content["m.mentions"] = mentions
	}
	return content
}

func (h *history) message() {
	content, kind := h.content(), "m.room.message"
	switch h.IntN(10) {
	case 0, 1, 2:
		if len(h.roots) < 4 && len(h.ids) > 0 {
			id := choose(h, h.ids...)
			if h.oracle.relations[id] == (relation{}) {
				h.roots = append(h.roots, id)
			}
		}
		if len(h.roots) > 0 {
			content["m.relates_to"] = map[string]any{"rel_type": "m.thread", "event_id": choose(h, h.roots...)}
		}
	case 3:
		content, kind = map[string]any{"algorithm": "x", "ciphertext": fmt.Sprint(h.text)}, "m.room.encrypted"
	case 4:
		h.sent(h.anybody().state(h.room, choose(h, "m.room.topic", "m.room.tombstone"), "", map[string]any{"topic": fmt.Sprint(h.text), "body": "x", "replacement_room": "!x"}))
		return
	}
	h.send(kind, content)
}

func (h *history) send(kind string, content map[string]any) {
	id := h.anybody().send(h.room, kind, content)
	h.oracle.sent(id, content)
	h.sent(id)
}

// relate sends an edit, a reaction or a reference, which may itself relate to what relates.
func (h *history) relate() {
	if len(h.ids) == 0 {
		return
	}
	content, kind := h.content(), "m.room.message"
	how := choose(h, "m.replace", "m.annotation", "m.reference")
	if how == "m.annotation" {
		content, kind = map[string]any{}, "m.reaction"
		content["m.relates_to"] = map[string]any{"rel_type": how, "event_id": choose(h, h.ids...), "key": fmt.Sprint(h.text)}
	} else {
		content["m.relates_to"] = map[string]any{"rel_type": how, "event_id": choose(h, h.ids...)}
	}
	h.text++
	h.send(kind, content)
}

func (h *history) redact() {
	if len(h.ids) == 0 {
		return
	}
	// Mostly one of the newest, which are unread.
	from := h.IntN(2) * max(0, len(h.ids)-20)
	id := h.ids[from+h.IntN(len(h.ids)-from)]
	h.text++
	h.admin.room(http.MethodPut, fmt.Sprintf("/rooms/%s/redact/%s/r%d", esc(h.room), esc(id), h.text), map[string]any{})
}

func (h *history) receipt() {
	if len(h.ids) == 0 {
		return
	}
	u := choose(h, h.users...)
	from := choose(h, 0, max(0, len(h.ids)-100), max(0, len(h.ids)-20))
	m := mark{id: h.ids[from+h.IntN(len(h.ids)-from)], kind: choose(h, "m.read", "m.read.private")}
	var body any
	if m.thread = choose(h, "", "main", "any"); m.thread != "" {
		m.thread = h.oracle.thread(m.id)
		body = map[string]any{"thread_id": m.thread}
	}
	a := u.do(choose(h, h.nodes...).handler, http.MethodPost, "/rooms/"+esc(h.room)+"/receipt/"+m.kind+"/"+esc(m.id), body)
	require.Equal(h.t, http.StatusOK, a.status, string(a.body))
	u.marks = append(u.marks, m)
}

func (h *history) member() {
	e := choose(h, h.extras...)
	if h.joined[e.user] {
		e.leave(h.room)
	} else {
		e.join(h.room)
	}
	h.joined[e.user] = !h.joined[e.user]
}

// rejoin lets a user come anew: what was before counts no more.
func (h *history) rejoin() {
	u := choose(h, h.users...)
	u.leave(h.room)
	if h.IntN(2) == 0 {
		u.node = choose(h, h.nodes...)
		u.sync()
	}
	h.sent(h.admin.say(h.room, "cake for the others"))
	u.join(h.room)
}

func (h *history) power() {
	h.admin.state(h.room, "m.room.power_levels", "", map[string]any{
		"users":         map[string]any{"@bob:hs": h.IntN(101), "@extra0:hs": h.IntN(101)},
		"notifications": map[string]any{"room": h.IntN(101), "odd": h.IntN(101)},
		"events":        map[string]any{"m.room.topic": 0, "m.room.tombstone": 0},
	})
}

func (h *history) rename() {
	u := choose(h, h.users...)
	u.state(h.room, "m.room.member", u.user, map[string]any{"membership": "join", "displayname": fmt.Sprint("name", h.IntN(5))})
}

// rule changes a user's rules.
func (h *history) rule() {
	u := choose(h, h.users...)
	var err error
	put := func(kind pushrules.Kind, id, body string) {
		if u.rules, err = u.rules.Put(kind, id, []byte(body), "", ""); err == nil {
			u.ok(http.MethodPut, "/pushrules/global/"+string(kind)+"/"+esc(id), body)
		}
	}
	switch h.IntN(7) {
	case 0:
		put(pushrules.Room, h.room, choose(h, `{"actions":[]}`, `{"actions":["notify"]}`))
	case 1:
		put(pushrules.Sender, choose(h, "@admin:hs", "@bob:hs"), choose(h, `{"actions":[]}`, `{"actions":["notify"]}`))
	case 2:
		put(pushrules.Content, "word", `{"pattern":"`+choose(h, "cake", "c*e", "geese")+`","actions":["notify",{"set_tweak":"highlight"}]}`)
	case 3:
		put(pushrules.Override, "o", `{"conditions":[`+choose(h,
			`{"kind":"event_match","key":"content.msgtype","pattern":"m.notice"}`, `{"kind":"room_member_count","is":">5"}`,
			`{"kind":"sender_notification_permission","key":"odd"}`, `{"kind":"event_match","key":"type","pattern":"m.room.topic"}`,
		)+`],"actions":["notify"]}`)
	case 4:
		for _, list := range []struct {
			kind pushrules.Kind
			ids  []string
		}{
			{pushrules.Override, []string{"o"}}, {pushrules.Room, []string{h.room}}, {pushrules.Content, []string{"word"}},
			{pushrules.Sender, []string{"@admin:hs", "@bob:hs"}},
		} {
			for _, id := range list.ids {
				if changed, err := u.rules.Delete(list.kind, id); err == nil {
					u.rules = changed
					u.ok(http.MethodDelete, "/pushrules/global/"+string(list.kind)+"/"+esc(id), nil)
				}
			}
		}
	default:
		id := choose(h, ".m.rule.master", ".m.rule.suppress_notices", ".m.rule.suppress_edits", ".m.rule.reaction", ".m.rule.contains_display_name")
		enabled := h.IntN(3) > 0 != (id == ".m.rule.master")
		u.rules, err = u.rules.SetEnabled(pushrules.Override, id, enabled)
		require.NoError(h.t, err)
		u.ok(http.MethodPut, "/pushrules/global/override/"+id+"/enabled", map[string]any{"enabled": enabled})
	}
}

func (h *history) ignore() {
	u := choose(h, h.users...)
	who := choose(h, "@admin:hs", "@bob:hs", "@extra1:hs")
	u.ignored[who] = !u.ignored[who]
	list := map[string]any{}
	for user, ignored := range u.ignored {
		if ignored {
			list[user] = map[string]any{}
		}
	}
	u.ok(http.MethodPut, "/user/"+esc(u.user)+"/account_data/m.ignored_user_list", map[string]any{"ignored_users": list})
}

func (h *history) restart() {
	i := h.IntN(len(h.nodes))
	h.nodes[i].stop()
	h.nodes[i] = h.g.startSyncWith(h.cfg)
	for _, u := range h.users {
		u.node = choose(h, h.nodes...)
	}
}

// check compares what every node says with what the oracle says.
func (h *history) check(what string) {
	h.oracle.read(h.t, h.room)
	for _, u := range h.users {
		want := h.oracle.count(u)
		var all [2]int
		for _, c := range want {
			all[0], all[1] = all[0]+c[0], all[1]+c[1]
		}
		if r := u.sync().join(h.room); r.has("unread_notifications") {
			require.Equal(h.t, all, r.unread(), "%s: news for %s", what, u.user)
		}
		for i, n := range h.nodes {
			c := &client{g: h.g, node: n, user: u.user, device: "check"}
			require.Equal(h.t, all, c.at("", 0).join(h.room).unread(), "%s: all of %s on node %d", what, u.user, i)
			c.filter = `{"room":{"timeline":{"unread_thread_notifications":true}}}`
			r := c.at("", 0).join(h.room)
			got := map[string][2]int{}
			if main := r.unread(); main != [2]int{} {
				got["main"] = main
			}
			threads, _ := r.get("unread_thread_notifications").v.(map[string]any)
			for thread := range threads {
				got[thread] = [2]int{
					r.num("unread_thread_notifications", thread, "notification_count"),
					r.num("unread_thread_notifications", thread, "highlight_count"),
				}
			}
			require.Equal(h.t, want, got, "%s: by thread of %s on node %d", what, u.user, i)
		}
	}
}

// Counts must be those of an oracle that evaluates every event of the room, whatever happened in which order, on nodes
// that were there all the time and on ones that were not.
func TestUnreadIsExact(t *testing.T) {
	seeds := map[string]int{"sqlite": 6, "postgres": 2}
	for name, open := range databases {
		for seed := range seeds[name] {
			t.Run(fmt.Sprint(name, "/", seed), func(t *testing.T) {
				rooms, syncs := open(t)
				h := newHistory(t, newRig(t, rooms, syncs), uint64(seed))
				for i := range 300 {
					h.step()
					if i%25 == 24 {
						h.check(fmt.Sprint("after ", i+1, " steps"))
					}
				}
				h.restart()
				h.check("at last")
			})
		}
	}
}
