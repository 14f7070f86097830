package outbound

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// maxURL is how long a URL may be, in bytes; maxHost a host's name.
const (
	maxURL  = 8 << 10
	maxHost = 253
)

// Check says why a URL may not be asked, by what can be seen of it: the address that its host has is judged when it is dialled.
func (c *Client) Check(u *url.URL) error {
	if err := c.check(u); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

func (c *Client) check(u *url.URL) error {
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || c.cfg.HTTPSOnly):
		return fmt.Errorf("scheme %.20q", u.Scheme)
	case u.User != nil:
		return errors.New("it has a user name")
	case u.Opaque != "" || u.Host == "":
		return errors.New("it has no host")
	case len(u.Path)+len(u.RawQuery)+len(u.Host) > maxURL:
		return errors.New("it is too long")
	}
	port, err := portOf(u)
	if err != nil {
		return err
	}
	if !slices.Contains(c.cfg.Ports, port) && !slices.Contains(c.cfg.Ports, 0) {
		return fmt.Errorf("port %d", port)
	}
	host, err := HostOf(u)
	if err != nil {
		return err
	}
	if addr, err := netip.ParseAddr(host); err == nil && !c.permits(addr) {
		return fmt.Errorf("address %s", addr) // dialling would say so too
	}
	for _, p := range c.deny {
		if p.matches(host, u) {
			return fmt.Errorf("pattern %q", p.text)
		}
	}
	return nil
}

// portOf is the port of a URL.
func portOf(u *url.URL) (int, error) {
	text := u.Port()
	switch {
	case text == "" && u.Scheme == "https":
		return 443, nil
	case text == "":
		return 80, nil
	}
	port, err := strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		return 0, errors.New("it has no valid port")
	}
	return port, nil
}

// placeOf is what requests are counted by: host and port.
func placeOf(u *url.URL) (string, error) {
	host, err := HostOf(u)
	if err != nil {
		return "", err
	}
	port, err := portOf(u)
	return net.JoinHostPort(host, strconv.Itoa(port)), err
}

// HostOf is the host of a URL as it is looked up: in lower case, in ASCII, without a dot at the end or brackets.
func HostOf(u *url.URL) (string, error) {
	host := u.Hostname()
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String(), nil
	}
	host = strings.TrimSuffix(host, ".")
	// Not the strict profile: names with an underscore are in use.
	host, err := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false)).ToASCII(host)
	if err != nil || host == "" || len(host) > maxHost || strings.ContainsAny(host, " /\\@:?#%[]") {
		return "", errors.New("its host is no name")
	}
	return host, nil
}

// Pattern is what a URL may be like. Without a slash it is about hosts: "example.org" is that host, "*.example.org" all below it.
// With a slash it is about hosts and paths: "example.org/private/*". A star stands for anything, a slash too.
type Pattern struct {
	text  string
	parts []string
	path  bool
}

// ParsePattern reads a pattern.
func ParsePattern(text string) (Pattern, error) {
	rest := text
	for _, scheme := range []string{"http://", "https://"} {
		rest = strings.TrimPrefix(rest, scheme)
	}
	if rest == "" || len(rest) > maxURL || strings.ContainsAny(rest, " \t\r\n@") || strings.Contains(rest, "://") {
		return Pattern{}, fmt.Errorf("pattern %.50q: want a host or a host and path, such as *.example.org or example.org/private/*", text)
	}
	return Pattern{text: text, parts: strings.Split(strings.ToLower(rest), "*"), path: strings.Contains(rest, "/")}, nil
}

func (p Pattern) matches(host string, u *url.URL) bool {
	if !p.path {
		return glob(p.parts, host)
	}
	path := u.Path
	if path == "" {
		path = "/"
	}
	return glob(p.parts, strings.ToLower(host+path))
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
