package obs

import (
	"bytes"
	"io"
	"net/url"
	"regexp"
	"strings"
)

const redacted = "[redacted]"

// Secret is a string that never shows itself: it prints, logs and marshals as [redacted] (empty stays empty).
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// MarshalText hides the secret from JSON, YAML and the like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML hides the secret from YAML.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// RedactURL returns the path and query of u, for logs, without the values of secret parameters.
func RedactURL(u *url.URL) string {
	path := u.EscapedPath()
	if u.RawQuery == "" {
		return path
	}
	return path + "?" + Redact(u.RawQuery)
}

// secretParam matches name=value and "name": "value" where the value is a secret, and Authorization headers.
var secretParam = regexp.MustCompile(
	`(?i)((?:access_token|refresh_token|login_token|password|shared_secret|client_secret)` +
		`(?:=|%3D|\\?"?\s*:\s*\\?"|:))([^&\s"\\]+)|(bearer\s+)([A-Za-z0-9._~+/=-]+)`)

// Redact removes what looks like a secret from a line of text. It is the last line of defence: code does not log
// secrets in the first place.
func Redact(text string) string {
	if !suspicious(text) {
		return text
	}
	return secretParam.ReplaceAllString(text, "${1}${3}"+redacted)
}

// suspicious is a quick check that spares nearly all lines the regular expression.
func suspicious(text string) bool {
	for _, word := range [...]string{"oken", "assword", "earer", "ecret", "TOKEN", "PASSWORD", "BEARER", "SECRET"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// scrubber passes lines on without secrets.
type scrubber struct{ out io.Writer }

func (s *scrubber) Write(line []byte) (int, error) {
	text := string(line)
	clean := Redact(text)
	var err error
	if clean == text {
		_, err = s.out.Write(line)
	} else {
		_, err = io.Copy(s.out, bytes.NewBufferString(clean))
	}
	return len(line), err
}
