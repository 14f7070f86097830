package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/service/keys/internal/backup/store"
)

// pageKeys is how many keys are in memory at once for an answer: 8 MiB at the most, ordinarily some 100 KiB.
const pageKeys = 128

// getKeys answers GET /room_keys/keys, and GET /room_keys/keys/{roomId} where the path names a room: a page of keys at a
// time. What fits one page is sent as a whole.
func (b *Backup) getKeys(w http.ResponseWriter, r *http.Request) error {
	t, err := targetOf(r)
	if err != nil {
		return err
	}
	text := keysText{rooms: t.roomID == ""}
	var from store.Place
	for begun := false; ; begun = true {
		var keys []store.Key
		keys, from, err = b.store.Page(r.Context(), t.userID, t.version, t.roomID, from, pageKeys)
		if err != nil {
			return err
		}
		if err := text.add(keys); err != nil {
			return err
		}
		b.metrics.read.Add(float64(len(keys)))
		last := len(keys) < pageKeys
		if last {
			text.end()
		}
		if last && !begun {
			httpx.WriteRawJSON(w, http.StatusOK, text.buf)
			return nil
		}
		w.Header()["Content-Type"] = []string{"application/json"}
		if _, err := w.Write(text.buf); err != nil {
			return fmt.Errorf("send keys: %w", err)
		}
		if last {
			return nil
		}
		text.buf = text.buf[:0]
	}
}

// getSession answers GET /room_keys/keys/{roomId}/{sessionId}.
func (b *Backup) getSession(w http.ResponseWriter, r *http.Request) error {
	t, err := targetOf(r)
	if err != nil {
		return err
	}
	key, err := b.store.Key(r.Context(), t.userID, t.version, t.roomID, t.sessionID)
	if errors.Is(err, store.ErrNotFound) {
		return matrix.NewError(matrix.CodeNotFound, "Key not found.")
	}
	if err != nil {
		return err
	}
	b.metrics.read.Inc()
	httpx.WriteJSON(w, http.StatusOK, answerOf(key))
	return nil
}

// keyAnswer is the key of a session as clients get it.
type keyAnswer struct {
	FirstMessageIndex int64           `json:"first_message_index"`
	ForwardedCount    int64           `json:"forwarded_count"`
	IsVerified        bool            `json:"is_verified"`
	SessionData       json.RawMessage `json:"session_data"`
}

func answerOf(k store.Key) keyAnswer {
	return keyAnswer{
		FirstMessageIndex: k.FirstMessageIndex, ForwardedCount: k.ForwardedCount, IsVerified: k.IsVerified,
		SessionData: json.RawMessage(k.Data),
	}
}

// keysText is the text of an answer with many keys, which come in the order of rooms.
type keysText struct {
	// rooms says that the answer is of all rooms, by room.
	rooms bool
	// buf is what was not sent yet.
	buf []byte
	// room is whose sessions are open; begun says that there is a key already.
	room  string
	begun bool
}

// add appends keys.
func (t *keysText) add(keys []store.Key) error {
	for _, k := range keys {
		switch {
		case !t.begun:
			t.open(k.RoomID)
		case t.rooms && k.RoomID != t.room:
			t.buf = append(t.buf, "}},"...)
			t.openRoom(k.RoomID)
		default:
			t.buf = append(t.buf, ',')
		}
		value, err := json.Marshal(answerOf(k))
		if err != nil {
			return fmt.Errorf("encode key of session %q: %w", k.SessionID, err)
		}
		t.buf = append(append(appendText(t.buf, k.SessionID), ':'), value...)
	}
	return nil
}

func (t *keysText) open(room string) {
	t.begun = true
	if t.rooms {
		t.buf = append(t.buf, `{"rooms":{`...)
		t.openRoom(room)
		return
	}
	t.buf = append(t.buf, `{"sessions":{`...)
}

func (t *keysText) openRoom(room string) {
	t.room = room
	t.buf = append(appendText(t.buf, room), `:{"sessions":{`...)
}

// end appends what closes the answer.
func (t *keysText) end() {
	switch {
	case t.begun && t.rooms:
		t.buf = append(t.buf, "}}}}"...)
	case t.begun:
		t.buf = append(t.buf, "}}"...)
	case t.rooms:
		t.buf = append(t.buf, `{"rooms":{}}`...)
	default:
		t.buf = append(t.buf, `{"sessions":{}}`...)
	}
}

// appendText appends a string as JSON.
func appendText(buf []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string can be encoded
	return append(buf, text...)
}
