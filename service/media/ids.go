package media

import (
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"

	"hongyan/matrix"
)

// idBytes is how much chance is in a media id: nobody guesses one.
const idBytes = 24

// keyEncoding makes keys of the blob store.
var keyEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func (s *Service) random() ([]byte, error) {
	b := make([]byte, idBytes)
	if _, err := io.ReadFull(s.deps.Rand, b); err != nil {
		return nil, fmt.Errorf("make an id: %w", err)
	}
	return b, nil
}

// newID makes a media id.
func (s *Service) newID() (string, error) {
	b, err := s.random()
	return base64.RawURLEncoding.EncodeToString(b), err
}

// newKey makes a key of the blob store.
func (s *Service) newKey() (string, error) {
	b, err := s.random()
	return keyEncoding.EncodeToString(b), err
}

// maxID is the longest media id that is looked for.
const maxID = 255

// isID tells whether text may be a media id.
func isID(text string) bool {
	const others = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	return text != "" && len(text) <= maxID && strings.Trim(text, others) == ""
}

// pathID reads the media id that a path names, if it is of this server.
func (s *Service) pathID(r *http.Request) (string, error) {
	id := r.PathValue("mediaId")
	if r.PathValue("serverName") != string(s.deps.Server) || !isID(id) {
		return "", errNotFound()
	}
	return id, nil
}

func errNotFound() error {
	return matrix.NewError(matrix.CodeNotFound, "There is no such media, or it has expired.")
}

func (s *Service) uri(id string) string { return "mxc://" + string(s.deps.Server) + "/" + id }
