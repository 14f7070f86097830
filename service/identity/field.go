package identity

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
)

// Fields that the specification defines.
const (
	fieldDisplayName = "displayname"
	fieldAvatarURL   = "avatar_url"
	fieldTimeZone    = "m.tz"
)

// Limits of profiles. The display name and the avatar stand in every member event, which has 64 KiB in all.
const (
	maxProfile     = 64 << 10 // bytes
	maxFieldName   = 255      // bytes
	maxDisplayName = 256      // characters
	maxAvatarURL   = 1000     // bytes
	maxTimeZone    = 255      // bytes
)

// checkFieldName checks a field's name (appendices, "Common Namespaced Identifier Grammar").
func checkFieldName(name string) error {
	if len(name) > maxFieldName {
		return matrix.Errorf(matrix.CodeKeyTooLarge, "The name of the field is longer than %d bytes.", maxFieldName)
	}
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '.' && c != '_' && c != '-') {
			return errFieldName()
		}
	}
	if name == "" {
		return errFieldName()
	}
	return nil
}

func errFieldName() error { return matrix.NewError(matrix.CodeInvalidParam, "Invalid profile key.") }

// readField takes a field's value out of a body, in canonical form; nil asks that the field be removed.
func readField(name string, raw json.RawMessage) (json.RawMessage, error) {
	raw, err := canonicaljson.Canonicalize(raw)
	if err != nil {
		return nil, err
	}
	var body map[string]json.RawMessage
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil, matrix.NewError(matrix.CodeBadJSON, "The body must be an object.").WithCause(err)
	}
	value, ok := body[name]
	if !ok {
		return nil, matrix.Errorf(matrix.CodeMissingParam, "%s is missing.", name)
	}
	// Far too large for any field is too large for the profile, whatever else is wrong with it.
	if len(value) >= maxProfile {
		return nil, matrix.NewError(matrix.CodeProfileTooLarge, "The profile would reach 64 KiB.")
	}
	if name != fieldDisplayName && name != fieldAvatarURL && name != fieldTimeZone {
		return value, nil
	}
	var text *string
	if err := json.Unmarshal(value, &text); err != nil || text == nil {
		return nil, matrix.Errorf(matrix.CodeBadJSON, "%s must be a string.", name)
	}
	return checkText(name, *text, value)
}

// checkText checks the value of a field that the specification defines.
func checkText(name, text string, value json.RawMessage) (json.RawMessage, error) {
	switch name {
	case fieldDisplayName:
		if !validDisplayName(text) {
			return nil, errDisplayName()
		}
	case fieldAvatarURL:
		if text != "" && !validAvatarURL(text) {
			return nil, matrix.NewError(matrix.CodeInvalidParam, "avatar_url must be an mxc:// URI.")
		}
	case fieldTimeZone:
		if text == "" || len(text) > maxTimeZone {
			return nil, matrix.NewError(matrix.CodeInvalidParam, "m.tz must be the name of a time zone.")
		}
	}
	if text == "" {
		return nil, nil
	}
	return value, nil
}

// validDisplayName also refuses NUL, which PostgreSQL stores in no text, and nobody sees.
func validDisplayName(text string) bool {
	return utf8.RuneCountInString(text) <= maxDisplayName && !strings.Contains(text, "\x00")
}

func errDisplayName() error {
	return matrix.Errorf(matrix.CodeInvalidParam, "The display name must have at most %d characters, and no U+0000.", maxDisplayName)
}

// validAvatarURL checks the form mxc://server/media (client-server API, "Matrix Content (mxc://) URIs").
func validAvatarURL(text string) bool {
	rest, ok := strings.CutPrefix(text, "mxc://")
	if !ok || len(text) > maxAvatarURL {
		return false
	}
	server, media, ok := strings.Cut(rest, "/")
	if !ok || media == "" || strings.ContainsAny(media, "/?#\x00") {
		return false
	}
	_, err := matrix.ParseServerName(server)
	return err == nil
}
