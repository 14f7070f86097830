package room

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/platform/once"
)

// maxTxnID bounds transaction ids, in bytes: they are stored.
const maxTxnID = 512

// request is what all writes to a room have in common.
type request struct {
	httpx.Caller
	user matrix.UserID
	// room is the room id, checked to be one; empty where the path names none.
	room string
	http *http.Request
}

// readRequest reads the caller and the room id.
func readRequest(r *http.Request) (request, error) {
	q := request{Caller: httpx.CallerOf(r), room: r.PathValue("roomId"), http: r}
	q.user = matrix.UserID(q.UserID)
	if q.UserID == "" {
		return q, matrix.NewError(matrix.CodeMissingToken, "An access token is needed.")
	}
	if q.room != "" {
		if _, err := matrix.ParseRoomID(q.room); err != nil {
			return q, err
		}
	}
	return q, nil
}

// active refuses suspended accounts, which may read, leave and redact what is theirs.
func (q request) active() error {
	if q.Suspended {
		return matrix.NewError(matrix.CodeUserSuspended, "Your account is suspended: you cannot do this until it is restored.")
	}
	return nil
}

// txn returns the transaction of a request with the id in its path. The scope is the device and the path without the
// id, so that another device's request with the same id is another one and a new token of the same device is not.
func (q request) txn(id, path string) eventlog.Txn {
	return eventlog.Txn{Scope: once.Scope(scopeTxn, q.UserID, q.DeviceID, path), ID: id}
}

// once returns the transaction of a request that has none of its own: the gateway's key for it, if any.
func (q request) once() eventlog.Txn { return once.Of(q.http) }

// What scopes of transactions begin with: a client's own, and a gateway's for requests without one. Then follow the
// user and the device.
const (
	scopeTxn = "txn"
	scopeKey = once.Kind
)

func checkTxnID(id string) error {
	if id == "" || len(id) > maxTxnID || strings.IndexByte(id, 0) >= 0 {
		return matrix.Errorf(matrix.CodeInvalidParam, "The transaction id must have 1 to %d bytes and no NUL.", maxTxnID)
	}
	return nil
}

// readContent reads the body as the content of an event: canonical JSON. What is wrong with it is reported when the
// caller's permission has been checked.
func readContent(r *http.Request) ([]byte, error) {
	raw, err := httpx.ReadObject(r)
	if err != nil {
		return nil, err
	}
	return canonicaljson.CanonicalizeObject(raw)
}

// readBody is httpx.ReadJSON into a new T.
func readBody[T any](r *http.Request) (T, error) {
	var v T
	err := httpx.ReadJSON(r, &v)
	return v, err
}

// eventAnswer is the answer that names an event.
func eventAnswer(id matrix.EventID) []byte {
	out := append(make([]byte, 0, 64), `{"event_id":`...)
	return append(canonicaljson.AppendString(out, string(id)), '}')
}

// roomAnswer is the answer that names a room.
func roomAnswer(id matrix.RoomID) []byte {
	out := append(make([]byte, 0, 72), `{"room_id":`...)
	return append(canonicaljson.AppendString(out, string(id)), '}')
}

// noAnswer is the answer that says nothing but that it was done.
func noAnswer() []byte { return []byte(`{}`) }

// object is a JSON object whose values are not looked into.
type object map[string]json.RawMessage

// parseObject reads canonical JSON that is known to be an object.
func parseObject(raw []byte) (object, error) {
	o := object{}
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, matrix.NewError(matrix.CodeBadJSON, "The JSON must be an object.").WithCause(err)
	}
	return o, nil
}

// set encodes a value that always encodes: strings, numbers, slices and maps of them.
func (o object) set(key string, value any) {
	raw, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	o[key] = raw
}

// str returns a string member, "" if it is none.
func (o object) str(key string) string {
	var s string
	if json.Unmarshal(o[key], &s) != nil {
		return ""
	}
	return s
}

// canonical encodes the object as the content of an event.
func (o object) canonical() ([]byte, error) { return canonicaljson.Marshal(o) }

// mustCanonical is canonicaljson.Marshal for values of the program's own making: strings, and maps and lists of them.
func mustCanonical(v any) []byte {
	raw, err := canonicaljson.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

// answer runs f as one operation and writes what it answers.
func (s *Service) answer(w http.ResponseWriter, q request, txn eventlog.Txn, f opFunc) error {
	response, err := s.operate(q.http.Context(), q.room, txn, f)
	if err != nil {
		return err
	}
	httpx.WriteRawJSON(w, http.StatusOK, response)
	return nil
}

// answerAgain writes what the request was answered before, where it is a repetition; otherwise it returns refusal.
func (s *Service) answerAgain(w http.ResponseWriter, q request, refusal error) error {
	txn := q.once()
	if txn.ID == "" {
		return refusal
	}
	response, ok, err := s.log.Txn(q.http.Context(), txn.Scope, txn.ID)
	if err != nil {
		return matrix.Unavailable(err)
	}
	if !ok {
		return refusal
	}
	httpx.WriteRawJSON(w, http.StatusOK, response)
	return nil
}

// asOp makes a function without an answer of its own an opFunc.
func asOp(f func(ctx context.Context, w *working) error) opFunc {
	return func(ctx context.Context, w *working) ([]byte, error) {
		if err := f(ctx, w); err != nil {
			return nil, err
		}
		return noAnswer(), nil
	}
}
