package room

import (
	"context"
	"net/http"
	"strings"

	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/matrix/serveracl"
)

// putState is PUT /rooms/{roomId}/state/{eventType}, with "/" and with "/{stateKey}".
func (s *Service) putState(rw http.ResponseWriter, r *http.Request) error {
	q, err := readRequest(r)
	if err != nil {
		return err
	}
	typ, key := r.PathValue("eventType"), r.PathValue("stateKey")
	content, bodyErr := readContent(r)
	if typ == event.TypeMember {
		return s.putMember(rw, q, key, content, bodyErr)
	}
	if err := q.active(); err != nil {
		return err
	}
	return s.answer(rw, q, q.once(), func(ctx context.Context, w *working) ([]byte, error) {
		if err := w.mustBeJoined(q.user); err != nil {
			return nil, err
		}
		if typ == event.TypeCreate {
			return nil, errCreateAgain()
		}
		if err := w.mustSend(q.user, typ, true); err != nil {
			return nil, err
		}
		if strings.HasPrefix(key, "@") && key != q.UserID {
			return nil, matrix.NewError(matrix.CodeForbidden, "A state key that is a user id must be your own.")
		}
		if bodyErr != nil {
			return nil, bodyErr
		}
		d := draft{sender: q.user, typ: typ, key: &key, content: content, device: q.DeviceID}
		ev, err := w.addState(ctx, d)
		if err != nil {
			return nil, err
		}
		return eventAnswer(ev.ID()), nil
	})
}

// addState adds a state event that is no member event, once its content is what its type needs.
func (w *working) addState(ctx context.Context, d draft) (*event.Event, error) {
	if d.typ == event.TypeRedaction {
		// Clients would take it for a redaction, which nobody has authorised.
		return nil, matrix.NewError(matrix.CodeInvalidParam, "m.room.redaction is not a type of state events.")
	}
	if *d.key == "" {
		switch d.typ {
		case event.TypePowerLevels:
			if err := w.checkPowerLevels(d.content); err != nil {
				return nil, err
			}
		case event.TypeCanonicalAlias:
			if err := w.checkCanonicalAlias(ctx, d.content); err != nil {
				return nil, err
			}
		case event.TypeServerACL:
			if !serveracl.Parse(d.content).Allows(w.s.server) {
				return nil, errShutsUsOut()
			}
		}
	}
	return w.add(ctx, d)
}

// errShutsUsOut refuses a list that would make the room unusable for who sends it, as one does that allows nobody.
func errShutsUsOut() error {
	return matrix.NewError(matrix.CodeInvalidParam,
		"This list shuts this server out. \"allow\" must match it, as \"*\" does, and \"deny\" must not.")
}
