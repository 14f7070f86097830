package sync

import (
	"encoding/json"
	"net/http"

	roompb "hongyan/api/room"
	syncpb "hongyan/api/sync"
	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/platform/once"
)

// postReceipt answers POST /rooms/{roomId}/receipt/{receiptType}/{eventId}.
func (s *Service) postReceipt(w http.ResponseWriter, r *http.Request) error {
	user := httpx.CallerOf(r).UserID
	room, err := s.joinedRoom(r)
	if err != nil {
		return err
	}
	kind := r.PathValue("receiptType")
	if kind != receiptRead && kind != receiptPrivate && kind != receiptFullyRead {
		return matrix.Errorf(matrix.CodeInvalidParam, "The receipt type %q is unknown.", kind)
	}
	thread, err := readThread(r, kind)
	if err != nil {
		return err
	}
	if err := s.mark(r, user, room, kind, r.PathValue("eventId"), thread); err != nil {
		return err
	}
	return done(w)
}

// readThread reads thread_id, which must be a string where it stands.
func readThread(r *http.Request, kind string) (string, error) {
	var body struct {
		Thread json.RawMessage `json:"thread_id"`
	}
	if err := httpx.ReadJSON(r, &body); err != nil {
		return "", err
	}
	if body.Thread == nil {
		return "", nil
	}
	var thread string
	if err := json.Unmarshal(body.Thread, &thread); err != nil || thread == "" || string(body.Thread) == "null" {
		return "", matrix.NewError(matrix.CodeInvalidParam, "thread_id must be an event id or \"main\".")
	}
	if kind == receiptFullyRead {
		return "", matrix.NewError(matrix.CodeInvalidParam, "m.fully_read has no thread.")
	}
	if thread != mainThread {
		if _, err := matrix.ParseEventID(thread); err != nil {
			return "", err
		}
	}
	return thread, nil
}

// postReadMarkers answers POST /rooms/{roomId}/read_markers.
func (s *Service) postReadMarkers(w http.ResponseWriter, r *http.Request) error {
	user := httpx.CallerOf(r).UserID
	room, err := s.joinedRoom(r)
	if err != nil {
		return err
	}
	var body struct {
		FullyRead *string `json:"m.fully_read"`
		Read      *string `json:"m.read"`
		Private   *string `json:"m.read.private"`
	}
	if err := httpx.ReadJSON(r, &body); err != nil {
		return err
	}
	for _, m := range []struct {
		kind  string
		event *string
	}{{receiptFullyRead, body.FullyRead}, {receiptRead, body.Read}, {receiptPrivate, body.Private}} {
		if m.event == nil {
			continue
		}
		if err := s.mark(r, user, room, m.kind, *m.event, ""); err != nil {
			return err
		}
	}
	return done(w)
}

// joinedRoom returns the room that the path names if the caller is joined to it.
func (s *Service) joinedRoom(r *http.Request) (string, error) {
	forbidden := matrix.NewError(matrix.CodeForbidden, "You are not in this room.")
	room, err := roomOf(r)
	if err != nil {
		return "", forbidden.WithCause(err)
	}
	user := httpx.CallerOf(r).UserID
	if s.node().IsJoined(user, room) {
		return room, nil
	}
	// Memory may be behind: only the database refuses.
	resp, err := s.deps.Room.Membership(r.Context(), &roompb.MembershipRequest{RoomId: room, UserId: user})
	if err != nil {
		return "", err
	}
	if resp.Membership != "join" {
		return "", forbidden
	}
	return room, nil
}

// mark notes that a user has read up to an event. Receipts only move forward in the room, whoever sends them when and
// whichever instance is asked. m.fully_read is where the user wants it, as the specification has it: the last request wins,
// also one that moves it back.
func (s *Service) mark(r *http.Request, user, room, kind, eventID, thread string) error {
	ctx := r.Context()
	if _, err := matrix.ParseEventID(eventID); err != nil {
		return err
	}
	at, err := s.deps.Room.Locate(ctx, &roompb.LocateRequest{RoomId: room, EventId: eventID, UserId: user})
	if err != nil {
		return err
	}
	if thread != "" && !inThread(at, eventID, thread) {
		return matrix.NewError(matrix.CodeInvalidParam, "The event is not in this thread.")
	}
	if kind == receiptFullyRead {
		content, err := json.Marshal(map[string]string{"event_id": eventID})
		if err != nil {
			return err
		}
		data := &syncpb.AccountData{RoomId: room, Type: typeFullyRead, Content: content}
		return unavailable(s.users.PutData(ctx, user, data, once.Answered(r)))
	}
	now := s.deps.Clock().UnixMilli()
	if kind == receiptRead {
		_, err := s.deps.Room.SetReceipt(ctx, &roompb.SetReceiptRequest{Receipt: &roompb.Receipt{
			RoomId: room, UserId: user, EventId: eventID, ReceiptType: kind, ThreadId: thread, TsMs: now, EventSeq: at.Seq,
		}})
		if err != nil {
			return err
		}
	}
	return unavailable(s.users.AdvanceMark(ctx, user, &syncpb.ReadMark{
		RoomId: room, ReceiptType: kind, ThreadId: thread, EventId: eventID,
		EventSeq: at.Seq, EventPosition: at.Position, TsMs: now,
	}))
}

// inThread tells whether an event may be read in a thread. A thread's root is in the main timeline and begins its thread.
func inThread(at *roompb.LocateResponse, eventID, thread string) bool {
	of := at.ThreadId
	if of == "" {
		of = mainThread
	}
	return of == thread || thread == eventID
}
