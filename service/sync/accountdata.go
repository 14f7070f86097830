package sync

import (
	"net/http"
	"strings"
	"unicode/utf8"

	syncpb "hongyan/api/sync"
	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/platform/once"
	"hongyan/service/sync/internal/live"
)

// typeFullyRead and typeTag are account data of a room with routes of their own.
const (
	typeFullyRead = "m.fully_read"
	typeTag       = "m.tag"
)

// maxDataType is the longest type of account data, in bytes.
const maxDataType = 255

// dataTarget reads whose account data a path means: global where it names no room.
func dataTarget(r *http.Request) (user, room, eventType string, err error) {
	if user, err = self(r); err != nil {
		return "", "", "", err
	}
	if r.PathValue("roomId") != "" {
		if room, err = roomOf(r); err != nil {
			return "", "", "", err
		}
	}
	eventType = r.PathValue("type")
	if eventType == "" || len(eventType) > maxDataType || !utf8.ValidString(eventType) || strings.ContainsRune(eventType, 0) {
		return "", "", "", matrix.Errorf(matrix.CodeInvalidParam, "The type must have 1 to %d bytes of text.", maxDataType)
	}
	return user, room, eventType, nil
}

// getAccountData answers GET /user/{userId}/account_data/{type} and GET /user/{userId}/rooms/{roomId}/account_data/{type}.
func (s *Service) getAccountData(w http.ResponseWriter, r *http.Request) error {
	user, room, eventType, err := dataTarget(r)
	if err != nil {
		return err
	}
	content, err := s.users.Data(r.Context(), user, room, eventType)
	if err != nil {
		return unavailable(err)
	}
	switch {
	case room == "" && eventType == live.TypePushRules:
		content = clientPushRules(user, content)
	case content == nil:
		return matrix.Errorf(matrix.CodeNotFound, "You have no account data of type %q here.", eventType)
	}
	httpx.WriteRawJSON(w, http.StatusOK, content)
	return nil
}

// putAccountData answers PUT on the same paths.
func (s *Service) putAccountData(w http.ResponseWriter, r *http.Request) error {
	user, room, eventType, err := dataTarget(r)
	if err != nil {
		return err
	}
	if eventType == typeFullyRead || eventType == live.TypePushRules {
		return matrix.Errorf(matrix.CodeBadJSON, "%s is set by the server.", eventType).WithStatus(http.StatusMethodNotAllowed)
	}
	content, err := httpx.ReadObject(r)
	if err != nil {
		return err
	}
	err = s.users.PutData(r.Context(), user, &syncpb.AccountData{RoomId: room, Type: eventType, Content: content}, once.Answered(r))
	if err != nil {
		return unavailable(err)
	}
	return done(w)
}
