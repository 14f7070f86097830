package room

import (
	"context"
	"net/http"

	"hongyan/matrix"
	"hongyan/matrix/event"
)

// send is PUT /rooms/{roomId}/send/{eventType}/{txnId}.
func (s *Service) send(rw http.ResponseWriter, r *http.Request) error {
	q, err := readRequest(r)
	if err != nil {
		return err
	}
	if err := q.active(); err != nil {
		return err
	}
	typ, txnID := r.PathValue("eventType"), r.PathValue("txnId")
	content, bodyErr := readContent(r)
	if bodyErr == nil {
		bodyErr = checkTxnID(txnID)
	}
	txn := q.txn(txnID, "/rooms/"+q.room+"/send/"+typ)
	if bodyErr != nil {
		txn.ID = "" // nothing that could be repeated
	}
	return s.answer(rw, q, txn, func(ctx context.Context, w *working) ([]byte, error) {
		if err := w.mustSend(q.user, typ, false); err != nil {
			return nil, err
		}
		if bodyErr != nil {
			return nil, bodyErr
		}
		d := draft{sender: q.user, typ: typ, content: content, device: q.DeviceID, txn: txnID}
		ev, err := w.sendMessage(ctx, d, q.Admin)
		if err != nil {
			return nil, err
		}
		return eventAnswer(ev.ID()), nil
	})
}

// sendMessage adds an event that is no state event.
func (w *working) sendMessage(ctx context.Context, d draft, admin bool) (*event.Event, error) {
	switch d.typ {
	case event.TypeCreate:
		return nil, errCreateAgain()
	case event.TypeRedaction:
		target, content, err := cutRedacts(d.content)
		if err != nil {
			return nil, err
		}
		if target == "" {
			return nil, matrix.NewError(matrix.CodeBadJSON, "A redaction needs \"redacts\", the id of the event to redact.")
		}
		d.content = content
		return w.redact(ctx, d, target, admin)
	}
	return w.add(ctx, d)
}

// errCreateAgain refuses a client's own m.room.create.
func errCreateAgain() error {
	return matrix.NewError(matrix.CodeBadJSON, "m.room.create is written once, when the room is created.").
		WithStatus(http.StatusBadRequest)
}
