package room

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"

	"github.com/tidwall/gjson"
	"google.golang.org/protobuf/proto"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/httpx"
	"hongyan/service/room/internal/store"
)

// shown is an event that a reader gets to see, parsed.
type shown struct {
	*store.Event
	event *event.Event
}

// parse reads a stored event.
func (v *view) parse(e *store.Event) (shown, error) {
	ev, err := event.ParseWithID(v.version, matrix.EventID(e.ID), e.PDU)
	if err != nil {
		return shown{}, fmt.Errorf("room %s: %w", v.Name, err)
	}
	return shown{e, ev}, nil
}

func (v *view) parseAll(events []store.Event) ([]shown, error) {
	all := make([]shown, 0, len(events))
	for i := range events {
		s, err := v.parse(&events[i])
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// writer renders events for one reader in the format of clients.
type writer struct {
	view     *view
	deviceID string
	nowMS    int64
	scratch  []byte
	// relations are the aggregations, JSON by event id: see aggregate.
	relations map[string][]byte
	// noRoomID leaves the room id out of events, as /sync does.
	noRoomID bool
}

func (r *reads) writer(v *view, deviceID string) *writer {
	return &writer{view: v, deviceID: deviceID, nowMS: r.clock().UnixMilli()}
}

// event appends an event with what this reader is told besides.
func (w *writer) event(dst []byte, s shown) ([]byte, error) {
	var meta roompb.EventMeta
	if err := proto.Unmarshal(s.Meta, &meta); err != nil {
		return nil, fmt.Errorf("decode meta of %s: %w", s.ID, err)
	}
	w.view.hideReplaced(&meta, s.Seq)
	u := event.Unsigned{
		Age:             w.nowMS - s.event.OriginServerTS(),
		Membership:      w.view.membership.at(s.Seq),
		PrevContent:     orNil(meta.PrevContent),
		ReplacesState:   matrix.EventID(meta.ReplacesState),
		RedactedBecause: orNil(meta.RedactedBecause),
		Relations:       w.relations[s.ID],
	}
	if w.owns(&meta, s.event) {
		u.TransactionID = meta.TxnId
	}
	w.scratch = s.event.AppendClient(w.scratch[:0], !w.noRoomID)
	return event.AppendUnsigned(dst, w.scratch, u), nil
}

// hideReplaced leaves out what the event at seq replaced where the reader sees nothing of the time while that was the room's state.
func (v *view) hideReplaced(meta *roompb.EventMeta, seq int64) {
	if meta.GetReplacesSeq() == 0 {
		return
	}
	if _, ok := v.spanForward(meta.GetReplacesSeq()-1, seq-1); !ok {
		meta.ReplacesState, meta.PrevContent, meta.PrevSender = "", nil, ""
	}
}

// owns reports whether the event was sent by the reader's own device, which alone is told the transaction id.
func (w *writer) owns(meta *roompb.EventMeta, e *event.Event) bool {
	return meta.TxnId != "" && meta.DeviceId == w.deviceID && string(e.Sender()) == w.view.userID
}

// array appends events as a JSON array.
func (w *writer) array(dst []byte, events []shown) ([]byte, error) {
	dst = append(dst, '[')
	for i, s := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = w.event(dst, s); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

// body is an answer that is put together from pieces of JSON; the first error is kept.
type body struct {
	bytes.Buffer
	err error
}

// field begins a member of the object: {"name": or ,"name":.
func (b *body) field(name string) {
	if b.Len() == 0 {
		b.WriteByte('{')
	} else {
		b.WriteByte(',')
	}
	b.WriteByte('"')
	b.WriteString(name)
	b.WriteString(`":`)
}

// events adds an array of events.
func (b *body) events(name string, w *writer, events []shown) {
	b.field(name)
	list, err := w.array(b.AvailableBuffer(), events)
	if err != nil && b.err == nil {
		b.err = err
	}
	b.Write(list)
}

// event adds one event.
func (b *body) event(name string, w *writer, s shown) {
	b.field(name)
	one, err := w.event(b.AvailableBuffer(), s)
	if err != nil && b.err == nil {
		b.err = err
	}
	b.Write(one)
}

// text adds a string that needs no escaping: a token.
func (b *body) text(name, value string) {
	b.field(name)
	b.WriteByte('"')
	b.WriteString(value)
	b.WriteByte('"')
}

// number adds a whole number.
func (b *body) number(name string, value int) {
	b.field(name)
	b.Write(strconv.AppendInt(b.AvailableBuffer(), int64(value), 10))
}

// answer ends the object and writes it.
func (b *body) answer(w http.ResponseWriter) error {
	if b.err != nil {
		return b.err
	}
	b.WriteByte('}')
	httpx.WriteRawJSON(w, http.StatusOK, b.Bytes())
	return nil
}

func orNil(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// contentString reads a string at the top level of an event's content; "" for anything else.
func contentString(pdu []byte, key string) string {
	if v := gjson.GetBytes(pdu, "content."+key); v.Type == gjson.String {
		return v.Str
	}
	return ""
}
