package outbound

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"strings"
)

// Pattern is what a URL may be like. Without a slash it is about hosts: "example.org" is that host, "*.example.org" all below it.
// With a slash it is about hosts and paths: "example.org/private/*". A star stands for anything, a slash too. What a pattern says is
// compared with what URLs come to: hosts as they are looked up, paths without escapes, and without segments that lead nowhere.
type Pattern struct {
	text  string
	parts []string
	path  bool
}

// ParsePattern reads a pattern. What could never be like a URL is refused: it would protect nobody.
func ParsePattern(text string) (Pattern, error) {
	host, rest, hasPath := strings.Cut(withoutScheme(text), "/")
	p := Pattern{text: text, path: hasPath}
	host, err := hostPattern(host)
	if err == nil && len(text) > maxURL {
		err = errors.New("it is too long")
	}
	if err == nil && hasPath {
		rest, err = pathPattern("/" + rest)
	}
	if err != nil {
		return Pattern{}, fmt.Errorf(
			"pattern %.50q: %w; want a host or a host and path, such as *.example.org or example.org/private/*", text, err)
	}
	p.parts = strings.Split(host+strings.ToLower(rest), "*")
	for i, part := range p.parts { // what was escaped may be a star
		p.parts[i] = strings.ReplaceAll(part, escapedStar, "*")
	}
	return p, nil
}

// escapedStar stands for a star that is meant: no clean text has it.
const escapedStar = "\x00"

func withoutScheme(text string) string {
	for _, scheme := range []string{"http://", "https://"} {
		if rest, ok := strings.CutPrefix(strings.ToLower(text), scheme); ok {
			return text[len(text)-len(rest):]
		}
	}
	return text
}

// hostPattern makes a pattern of hosts one of what HostOf returns.
func hostPattern(text string) (string, error) {
	bare, bracketed := strings.CutPrefix(text, "[")
	if bracketed {
		var ok bool
		if bare, ok = strings.CutSuffix(bare, "]"); !ok {
			return "", errors.New("a port cannot be part of it")
		}
	}
	if addr, err := netip.ParseAddr(bare); err == nil && addr.Zone() == "" {
		return addr.Unmap().String(), nil
	}
	switch {
	case bracketed:
		return "", errors.New("what is in brackets is no address")
	case strings.ContainsAny(text, " \t\r\n"):
		return "", errors.New("there are spaces in it")
	case strings.Contains(text, ":"):
		return "", errors.New("a port, another scheme, or a star in an address of IPv6 cannot be part of it")
	case strings.ContainsAny(text, "@?#"):
		return "", errors.New("only the host and the path are looked at")
	case !strings.Contains(text, "*"):
		return hostName(text)
	}
	labels := strings.Split(strings.TrimSuffix(text, "."), ".")
	for i, label := range labels {
		switch {
		case label == "":
			return "", errors.New("a part of its host is empty")
		case !strings.Contains(label, "*"):
			name, err := hostName(label)
			if err != nil {
				return "", err
			}
			labels[i] = name
		case strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_*") != "":
			return "", errors.New("a part of its host with a star in it is of other than letters and digits of ASCII")
		default:
			labels[i] = strings.ToLower(label)
		}
	}
	return strings.Join(labels, "."), nil
}

// pathPattern makes a pattern of paths one of what cleanPath returns.
func pathPattern(text string) (string, error) {
	if strings.ContainsAny(text, "?#") {
		return "", errors.New("what follows the path, from a question mark on, is not looked at")
	}
	if strings.ContainsAny(text, " \t\r\n\x00") {
		return "", errors.New("there are spaces in it")
	}
	parts := strings.Split(text, "*")
	for i, part := range parts {
		plain, err := url.PathUnescape(part)
		if err != nil || strings.Contains(plain, escapedStar) {
			return "", errors.New("its path is not escaped as URLs are")
		}
		parts[i] = strings.ReplaceAll(plain, "*", escapedStar)
	}
	return cleanPath(strings.Join(parts, "*")), nil
}

// cleanPath is a path without segments that lead nowhere, as servers read it.
func cleanPath(text string) string {
	clean := path.Clean("/" + text)
	if last := text[strings.LastIndexByte(text, '/')+1:]; clean != "/" && (last == "" || last == "." || last == "..") {
		clean += "/"
	}
	return clean
}

// matches tells whether a URL is like the pattern, as it stands or as servers read it.
func (p Pattern) matches(host string, u *url.URL) bool {
	if !p.path {
		return glob(p.parts, host)
	}
	return glob(p.parts, host+strings.ToLower(cleanPath(u.Path))) || glob(p.parts, host+strings.ToLower(u.Path))
}

// glob tells whether text is the parts with anything between them.
func glob(parts []string, text string) bool {
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok || len(parts) == 1 {
		return ok && text == ""
	}
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return strings.HasSuffix(text, parts[len(parts)-1])
}
