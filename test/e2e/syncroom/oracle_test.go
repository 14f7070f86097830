package syncroom_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/matrix/auth"
	"hongyan/matrix/event"
	"hongyan/matrix/pushrules"
	"hongyan/platform/rpc"
)

// oracle counts unread events the simple way: it reads all events of a room and evaluates each for the user.
type oracle struct {
	g *rig
	// relations are those with which events were sent: a redaction takes them away.
	relations map[string]relation
	events    []judged
	seqs      map[string]int64
	names     map[string]string
	joins     map[string]int64
}

type relation struct{ how, to string }

// mark is a receipt that was accepted.
type mark struct{ id, kind, thread string }

// judged is an event with what rules ask of the room after it.
type judged struct {
	id, sender, thread string
	seq                int64
	prepared           *pushrules.Prepared
	member, redacted   bool
}

func newOracle(g *rig) *oracle { return &oracle{g: g, relations: map[string]relation{}} }

// sent notes how an event relates to another.
func (o *oracle) sent(id string, content map[string]any) {
	r, _ := content["m.relates_to"].(map[string]any)
	how, _ := r["rel_type"].(string)
	to, _ := r["event_id"].(string)
	o.relations[id] = relation{how, to}
}

// thread finds the thread of an event: over its relations, at most three of them.
func (o *oracle) thread(id string) string {
	for range 4 {
		r := o.relations[id]
		if r.how == "m.thread" {
			return r.to
		}
		id = r.to
	}
	return "main"
}

// read reads the room from its beginning.
func (o *oracle) read(t *testing.T, room string) {
	o.events, o.seqs, o.names, o.joins = nil, map[string]int64{}, map[string]string{}, map[string]int64{}
	members := map[string]string{}
	var create *auth.Create
	var levels *auth.PowerLevels
	ctx := rpc.WithKey(context.Background(), room)
	for seq := int64(1); ; seq++ {
		resp, err := o.g.room.EventsAt(ctx, &roompb.EventsAtRequest{RoomId: room, Seqs: []int64{seq}})
		require.NoError(t, err)
		if len(resp.Events) == 0 {
			return
		}
		e := resp.Events[0]
		ev, err := event.ParseWithID(event.RoomVersion(e.Meta.RoomVersion), matrix.EventID(e.EventId), e.Pdu)
		require.NoError(t, err)
		switch {
		case ev.Type() == event.TypeCreate:
			create, err = auth.NewCreate(ev)
			require.NoError(t, err)
			levels = auth.DefaultPowerLevels(create)
		case ev.Type() == event.TypePowerLevels:
			levels, err = auth.ParsePowerLevels(create, ev.Content())
			require.NoError(t, err)
		case ev.Type() == event.TypeMember:
			user := ev.StateKeyValue()
			if ev.Membership() == event.Join && members[user] != "join" {
				o.joins[user] = seq
			}
			members[user] = string(ev.Membership())
			o.names[user] = gjson.GetBytes(ev.Content(), "displayname").Str
		}
		joined := 0
		for _, m := range members {
			if m == "join" {
				joined++
			}
		}
		now := levels
		o.seqs[e.EventId] = seq
		o.events = append(o.events, judged{
			id: e.EventId, sender: string(ev.Sender()), thread: o.thread(e.EventId), seq: seq, member: ev.Type() == event.TypeMember,
			redacted: len(e.Meta.RedactedBecause) > 0,
			prepared: pushrules.Prepare(ev, pushrules.Circumstances{
				Members: joined, SenderCanNotify: func(key string) bool { return now.CanNotify(ev.Sender(), key) },
			}),
		})
	}
}

// count counts what is unread, by thread.
func (o *oracle) count(u *reader) map[string][2]int {
	rules := u.rules.Compile(matrix.UserID(u.user))
	read := map[string]int64{}
	for _, m := range u.marks {
		read[m.thread] = max(read[m.thread], o.seqs[m.id])
	}
	for _, e := range o.events {
		if e.sender == u.user && !e.member {
			read[e.thread] = max(read[e.thread], e.seq)
		}
	}
	counts := map[string][2]int{}
	for _, e := range o.events {
		if e.seq <= o.joins[u.user] || e.seq <= read[""] || e.seq <= read[e.thread] || e.redacted || u.ignored[e.sender] {
			continue
		}
		result := rules.Evaluate(e.prepared, o.names[u.user])
		if !result.Notify {
			continue
		}
		c := counts[e.thread]
		c[0]++
		if result.Highlight {
			c[1]++
		}
		counts[e.thread] = c
	}
	return counts
}
