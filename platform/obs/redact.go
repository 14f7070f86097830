package obs

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"unicode"
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

// previewPath is what the paths end with of requests for previews of web pages.
const previewPath = "/preview_url"

// RedactURL returns the path and query of u, for logs, without the values of secret parameters, and without what page somebody
// reads, of whom the line may tell the name. Unlike Redact it knows the parameters' names as the server reads them, however they were
// escaped.
func RedactURL(u *url.URL) string {
	path := u.EscapedPath()
	if u.RawQuery == "" {
		return path
	}
	if strings.HasSuffix(strings.TrimRight(u.Path, "/"), previewPath) {
		// Not only what is called url: of an address that was not escaped the rest follows, under names of its own.
		return path + "?" + redacted
	}
	params := strings.Split(u.RawQuery, "&")
	for i, param := range params {
		escaped, _, _ := strings.Cut(param, "=")
		name, err := url.QueryUnescape(escaped)
		if err != nil {
			name = escaped
		}
		// A session of user-interactive auth stands for what was proven in it.
		if name == "session" || secretName.MatchString(name) {
			params[i] = escaped + "=" + redacted
		}
	}
	return path + "?" + Redact(strings.Join(params, "&"))
}

// secretNames are the names of what carries secrets, in queries, bodies and headers. "token" alone is too common a word to
// count as the end of a longer one; it begins after what is no letter, or after an escaped one.
const secretNames = `(?:access|refresh|login|id|as|hs|registration)_?token|(?:\b|%[0-9A-F]{2})token|` +
	`password|secret|passphrase|(?:private|signing|recovery|api)_key|code_verifier`

var (
	secretName = regexp.MustCompile(`(?i)(?:` + secretNames + `)$`)
	// secretParam matches name=value and "name": "value" where the value is a secret, and Authorization headers.
	secretParam = regexp.MustCompile(`(?i)((?:` + secretNames + `)` +
		`(?:=|%3D|\\?"?\s*:\s*\\?"|:))([^&\s"\\]+)|(bearer\s+)([A-Za-z0-9._~+/=-]+)`)
)

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
	for _, word := range [...]string{
		"oken", "assword", "earer", "ecret", "assphrase", "_key", "verifier",
		"TOKEN", "PASSWORD", "BEARER", "SECRET", "PASSPHRASE", "_KEY", "VERIFIER",
	} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// scrubber passes lines on without secrets, and without what would make one line look like two or move a terminal's cursor: what
// clients send stands in them.
type scrubber struct{ out io.Writer }

// tame indents what is on further lines, and writes other control characters out.
func tame(text string) string {
	line, end := strings.CutSuffix(text, "\n")
	if strings.IndexFunc(line, isUntame) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range line {
		switch {
		case r == '\n':
			b.WriteString("\n\t")
		case isUntame(r):
			fmt.Fprintf(&b, "\\x%02x", r)
		default:
			b.WriteRune(r)
		}
	}
	if end {
		b.WriteByte('\n')
	}
	return b.String()
}

func isUntame(r rune) bool { return unicode.IsControl(r) && r != '\t' }

func (s *scrubber) Write(line []byte) (int, error) {
	text := string(line)
	clean := tame(Redact(text))
	var err error
	if clean == text {
		_, err = s.out.Write(line)
	} else {
		_, err = io.Copy(s.out, bytes.NewBufferString(clean))
	}
	return len(line), err
}
