package room_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/matrix/pushrules"
	"hongyan/platform/sqldb"
)

// relating is a message that relates to an event.
func relating(relType, eventID string) map[string]any {
	return map[string]any{"body": "hi bob", "msgtype": "m.text", "m.relates_to": map[string]any{"rel_type": relType, "event_id": eventID}}
}

// notes are the notes of all events of a room, by sequence number.
func (g *rig) notes(roomID string) map[int64]*roompb.NoteAt {
	g.t.Helper()
	notes := map[int64]*roompb.NoteAt{}
	for after := int64(0); ; {
		resp, err := g.client.Notes(g.t.Context(), &roompb.NotesRequest{RoomId: roomID, After: after})
		require.NoError(g.t, err)
		for _, n := range resp.Notes {
			require.Equal(g.t, after+1, n.Seq)
			after, notes[n.Seq] = n.Seq, n
		}
		if !resp.More {
			return notes
		}
	}
}

// note is that of one event.
func (g *rig) note(roomID, eventID string) *roompb.NoteAt {
	g.t.Helper()
	at, err := g.client.Locate(g.t.Context(), &roompb.LocateRequest{RoomId: roomID, EventId: eventID, UserId: userID("alice")})
	require.NoError(g.t, err)
	n := g.notes(roomID)[at.Seq]
	require.NotNil(g.t, n)
	require.Equal(g.t, at.Position, n.Position)
	thread := n.Note.Thread
	if thread == "" {
		thread = "main"
	}
	require.Equal(g.t, thread, at.ThreadId, "what is noted and what receipts go by is the same")
	return n
}

func TestNotesKeepTheThread(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		room := g.create("")
		root := g.say("alice", room, "root")
		in := g.send("alice", room, "m.room.message", relating("m.thread", root))
		edit := g.send("alice", room, "m.room.message", relating("m.replace", in))
		second := g.send("alice", room, "m.room.message", relating("m.reference", edit))
		third := g.send("alice", room, "m.room.message", relating("m.reference", second))
		fourth := g.send("alice", room, "m.room.message", relating("m.reference", third))
		ofRoot := g.send("alice", room, "m.room.message", relating("m.replace", root))
		ofNone := g.send("alice", room, "m.room.message", relating("m.replace", "$none"))
		for id, thread := range map[string]string{
			root: "", in: root, edit: root, second: root, third: root, fourth: "", ofRoot: "", ofNone: "",
		} {
			require.Equal(t, thread, g.note(room, id).Note.Thread, id)
		}
		require.NotEmpty(t, g.note(room, in).Note.Words)
		g.ok(http.MethodPut, "alice", roomPath(room, "redact", in, "r1"), nil)
		redacted := g.note(room, in)
		require.True(t, redacted.Redacted)
		require.Equal(t, root, redacted.Note.Thread, "an event stays in its thread")
		require.Empty(t, redacted.Note.Words, "what it said goes")
		last := g.notes(room)[g.head(room).HeadSeq]
		require.Equal(t, redacted.Seq, last.Note.RedactsSeq)
		g.ok(http.MethodPut, "alice", roomPath(room, "redact", in, "r2"), nil)
		require.Zero(t, g.notes(room)[g.head(room).HeadSeq].Note.RedactsSeq, "it takes nothing off a second time")
		require.Equal(t, root, g.note(room, g.send("alice", room, "m.room.message", relating("m.replace", in))).Note.Thread)
	})
}

func TestNotesTellOfTheRoom(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		room := g.create("")
		g.act("bob", room, "join")
		first := g.note(room, g.say("bob", room, "x"))
		require.Equal(t, userID("bob"), first.Note.Sender)
		require.EqualValues(t, 2, first.Note.Members)
		require.Zero(t, first.Note.Power)
		g.act("carol", room, "join")
		require.EqualValues(t, 3, g.note(room, g.say("bob", room, "y")).Note.Members)
		require.EqualValues(t, 2, g.note(room, g.eventAt(room, first.Seq)).Note.Members, "a note stays as it was")

		join := func(user string) int64 {
			resp, err := g.client.Notes(t.Context(), &roompb.NotesRequest{RoomId: room, JoinedBy: userID(user)})
			require.NoError(t, err)
			if len(resp.Notes) > 0 {
				require.Equal(t, resp.JoinedSeq+1, resp.Notes[0].Seq, "what was before the join is left out")
			}
			return resp.JoinedSeq
		}
		carols := join("carol")
		g.setState("carol", room, "m.room.member", userID("carol"), map[string]any{"membership": "join", "displayname": "C"})
		require.Equal(t, carols, join("carol"), "a profile change is no join")
		g.act("carol", room, "leave")
		require.Zero(t, join("carol"))
		g.act("carol", room, "join")
		require.Greater(t, join("carol"), carols)
		require.Zero(t, join("dave"))
	})
}

// eventAt is the id of the event with a sequence number.
func (g *rig) eventAt(room string, seq int64) string {
	g.t.Helper()
	resp, err := g.client.EventsAt(g.t.Context(), &roompb.EventsAtRequest{RoomId: room, Seqs: []int64{seq, 1 << 40}})
	require.NoError(g.t, err)
	require.Len(g.t, resp.Events, 1)
	require.Equal(g.t, seq, resp.Events[0].Seq)
	require.Nil(g.t, resp.Events[0].Meta.Note)
	return resp.Events[0].EventId
}

func TestNotesOfOldEventsAreMadeUp(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		room := g.create("")
		g.act("bob", room, "join")
		root := g.say("bob", room, "root")
		g.send("bob", room, "m.room.message", relating("m.thread", root))
		want := g.notes(room)
		g.dropNotes()
		got := g.notes(room)
		require.Len(t, got, len(want))
		last := int64(len(want))
		for _, seq := range []int64{last - 1, last} {
			want[seq].Note.ThreadHops = 0
			require.True(t, proto.Equal(want[seq], got[seq]), "%v\n%v", want[seq], got[seq])
		}
		edit := g.send("bob", room, "m.room.message", relating("m.replace", g.eventAt(room, last)))
		require.Equal(t, root, g.note(room, edit).Note.Thread, "what is new relates to what has no note")
		rules := pushrules.Rules{}.Compile(matrix.UserID(userID("alice")))
		result, known := rules.EvaluateOutline(&pushrules.Outline{
			Sender: matrix.UserID(got[last].Note.Sender), Facts: pushrules.Facts(got[last].Note.Facts), Members: 2,
			Words: pushrules.ParseWords(got[last].Note.Words),
		}, matrix.RoomID(room), "somebody else")
		require.True(t, known)
		require.True(t, result.Notify)
	})
}

// dropNotes makes all events what they were before there were notes.
func (g *rig) dropNotes() {
	g.t.Helper()
	require.NoError(g.t, g.db.Write(g.t.Context(), func(ctx context.Context, tx sqldb.Tx) error {
		rows, err := tx.Query(ctx, `SELECT ref, body FROM room_entry`)
		if err != nil {
			return err
		}
		bodies := map[string][]byte{}
		for rows.Next() {
			var ref string
			var body []byte
			if err := rows.Scan(&ref, &body); err != nil {
				return err
			}
			meta := &roompb.EventMeta{}
			if err := proto.Unmarshal(body, meta); err != nil {
				return err
			}
			meta.Note = nil
			if bodies[ref], err = proto.Marshal(meta); err != nil {
				return err
			}
		}
		rows.Close()
		for ref, body := range bodies {
			if _, err := tx.Exec(ctx, `UPDATE room_entry SET body = $1 WHERE ref = $2`, body, ref); err != nil {
				return fmt.Errorf("drop note of %s: %w", ref, err)
			}
		}
		return rows.Err()
	}))
}

func TestNotesAreBounded(t *testing.T) {
	g := newRig(t, databases["sqlite"](t))
	room := g.create("")
	_, err := g.client.EventsAt(t.Context(), &roompb.EventsAtRequest{RoomId: room, Seqs: make([]int64, 513)})
	require.ErrorContains(t, err, "512")
	_, err = g.client.Notes(t.Context(), &roompb.NotesRequest{RoomId: "!none:hs"})
	require.Error(t, err)
	_, err = g.client.EventsAt(t.Context(), &roompb.EventsAtRequest{RoomId: "!none:hs"})
	require.Error(t, err)
	resp, err := g.client.Notes(t.Context(), &roompb.NotesRequest{RoomId: room, After: 2, Through: 4})
	require.NoError(t, err)
	require.Len(t, resp.Notes, 2)
}
