package sync

import (
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/platform/once"
)

// maxTag is the longest name of a tag, in bytes (client-server API, "Room Tagging").
const maxTag = 255

// tagged is the content of m.tag.
type tagged struct {
	Tags map[string]json.RawMessage `json:"tags"`
}

// getTags answers GET /user/{userId}/rooms/{roomId}/tags.
func (s *Service) getTags(w http.ResponseWriter, r *http.Request) error {
	user, err := self(r)
	if err != nil {
		return err
	}
	room, err := roomOf(r)
	if err != nil {
		return err
	}
	content, err := s.users.Data(r.Context(), user, room, typeTag)
	if err != nil {
		return unavailable(err)
	}
	httpx.WriteJSON(w, http.StatusOK, parseTags(content))
	return nil
}

// putTag answers PUT /user/{userId}/rooms/{roomId}/tags/{tag}.
func (s *Service) putTag(w http.ResponseWriter, r *http.Request) error {
	user, room, tag, err := tagTarget(r)
	if err != nil {
		return err
	}
	body, err := httpx.ReadObject(r)
	if err != nil {
		return err
	}
	if err := checkOrder(body); err != nil {
		return err
	}
	err = s.changeTags(r, user, room, func(t tagged) (bool, error) {
		if _, ok := t.Tags[tag]; !ok && len(t.Tags) >= s.cfg.MaxTags {
			return false, matrix.Errorf(matrix.CodeResourceLimitExceeded, "A room may have %d tags.", s.cfg.MaxTags)
		}
		t.Tags[tag] = body
		return true, nil
	})
	if err != nil {
		return err
	}
	return done(w)
}

// deleteTag answers DELETE /user/{userId}/rooms/{roomId}/tags/{tag}.
func (s *Service) deleteTag(w http.ResponseWriter, r *http.Request) error {
	user, room, tag, err := tagTarget(r)
	if err != nil {
		return err
	}
	err = s.changeTags(r, user, room, func(t tagged) (bool, error) {
		_, ok := t.Tags[tag]
		delete(t.Tags, tag)
		return ok, nil
	})
	if err != nil {
		return err
	}
	return done(w)
}

// changeTags writes what change makes of the tags of a room, unless it says that nothing changed.
func (s *Service) changeTags(r *http.Request, user, room string, change func(tagged) (bool, error)) error {
	return unavailable(s.users.ChangeData(r.Context(), user, room, typeTag, once.Answered(r), func(content []byte) ([]byte, error) {
		tags := parseTags(content)
		changed, err := change(tags)
		if err != nil || !changed {
			return nil, err
		}
		return json.Marshal(tags)
	}))
}

// parseTags reads m.tag, which clients may also have set as account data; what is malformed counts as none.
func parseTags(content []byte) tagged {
	var t tagged
	if err := json.Unmarshal(content, &t); err != nil || t.Tags == nil {
		return tagged{Tags: map[string]json.RawMessage{}}
	}
	return t
}

func tagTarget(r *http.Request) (user, room, tag string, err error) {
	if user, err = self(r); err != nil {
		return "", "", "", err
	}
	if room, err = roomOf(r); err != nil {
		return "", "", "", err
	}
	tag = r.PathValue("tag")
	if tag == "" || len(tag) > maxTag || !utf8.ValidString(tag) || strings.ContainsRune(tag, 0) {
		return "", "", "", matrix.Errorf(matrix.CodeInvalidParam, "A tag must have 1 to %d bytes of text.", maxTag)
	}
	return user, room, tag, nil
}

// checkOrder refuses an order that is no number from 0 to 1.
func checkOrder(body []byte) error {
	var v struct {
		Order *float64 `json:"order"`
	}
	if err := httpx.DecodeJSON(body, &v); err != nil {
		return err
	}
	if v.Order != nil && (*v.Order < 0 || *v.Order > 1) {
		return matrix.NewError(matrix.CodeInvalidParam, "The order must be from 0 to 1.")
	}
	return nil
}
