package keys

import (
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/platform/httpx"
)

const (
	// maxTxnID bounds transaction ids, in bytes: they are stored.
	maxTxnID = 512
	// maxType is the longest type of a message, in bytes.
	maxType = 255
)

// everyDevice stands for all devices of a user that are not named.
const everyDevice = "*"

// toDevice is a request to send messages.
type toDevice struct {
	httpx.Caller
	typ, txnID string
	// messages are the contents by user and device.
	messages map[string]map[string]json.RawMessage
}

// readToDevice reads and checks a request.
func (s *Service) readToDevice(r *http.Request) (*toDevice, error) {
	q := &toDevice{Caller: httpx.CallerOf(r), typ: r.PathValue("eventType"), txnID: r.PathValue("txnId")}
	if q.UserID == "" {
		return nil, matrix.NewError(matrix.CodeMissingToken, "An access token is needed.")
	}
	if !isText(q.typ, maxType) {
		return nil, matrix.Errorf(matrix.CodeInvalidParam, "The type must have 1 to %d bytes of text.", maxType)
	}
	if !isText(q.txnID, maxTxnID) {
		return nil, matrix.Errorf(matrix.CodeInvalidParam, "The transaction id must have 1 to %d bytes of text.", maxTxnID)
	}
	body, err := httpx.ReadObject(r)
	if err != nil {
		return nil, err
	}
	// Nobody signs what is sent: numbers may be of any size and kind.
	if body, err = canonicaljson.Normalize(body); err != nil {
		return nil, err
	}
	top, err := members(body, "The body")
	if err != nil {
		return nil, err
	}
	if top["messages"] == nil {
		return nil, matrix.NewError(matrix.CodeMissingParam, "\"messages\" is missing.")
	}
	q.messages, err = s.readMessages(top["messages"])
	return q, err
}

// readMessages reads the contents by user and device.
func (s *Service) readMessages(raw json.RawMessage) (map[string]map[string]json.RawMessage, error) {
	users, err := members(raw, "\"messages\"")
	if err != nil {
		return nil, err
	}
	if most := s.cfg.ToDevice.RequestUsers; len(users) > most {
		return nil, matrix.Errorf(matrix.CodeTooLarge, "One request may send messages to %d users.", most)
	}
	messages := make(map[string]map[string]json.RawMessage, len(users))
	n := 0
	for user, raw := range users {
		if _, err := matrix.ParseUserID(user); err != nil {
			return nil, err
		}
		if messages[user], err = members(raw, "What is sent to a user"); err != nil {
			return nil, err
		}
		for _, content := range messages[user] {
			if content[0] != '{' {
				return nil, matrix.NewError(matrix.CodeBadJSON, "The content of a message must be an object.")
			}
		}
		if n += len(messages[user]); n > s.cfg.ToDevice.RequestMessages {
			return nil, s.errTooMany()
		}
	}
	return messages, nil
}

// members reads an object of valid JSON, whose values are not looked into.
func members(raw json.RawMessage, what string) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if raw[0] != '{' {
		return nil, matrix.Errorf(matrix.CodeBadJSON, "%s must be an object.", what)
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, matrix.Errorf(matrix.CodeBadJSON, "%s must be an object.", what).WithCause(err)
	}
	return m, nil
}

func isText(s string, most int) bool {
	return s != "" && len(s) <= most && utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

func (s *Service) errTooMany() error {
	return matrix.Errorf(matrix.CodeTooLarge, "One request may send %d messages.", s.cfg.ToDevice.RequestMessages)
}

// message is what a client gets: sender and type are the request's.
func (q *toDevice) message(content json.RawMessage) []byte {
	b := make([]byte, 0, len(content)+len(q.UserID)+len(q.typ)+40)
	b = append(canonicaljson.AppendKey(append(b, '{'), "content"), content...)
	b = canonicaljson.AppendString(canonicaljson.AppendKey(b, "sender"), q.UserID)
	b = canonicaljson.AppendString(canonicaljson.AppendKey(b, "type"), q.typ)
	return append(b, '}')
}
