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

// HostOf is the host of a URL as it is looked up: in lower case, in ASCII, without a dot at the end or brackets; an address of IPv4
// as such.
func HostOf(u *url.URL) (string, error) {
	return hostName(u.Hostname())
}

// hostName makes different spellings of a host one.
func hostName(text string) (string, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.Unmap().String(), nil
	}
	// Not the strict profile: names with an underscore are in use.
	host, err := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false)).ToASCII(strings.TrimSuffix(text, "."))
	host = strings.TrimSuffix(host, ".") // there are others that it makes one
	if err != nil || host == "" || len(host) > maxHost || strings.ContainsAny(host, " /\\@:?#%[]*") {
		return "", errors.New("its host is no name")
	}
	return host, nil
}

// encodeQuery writes out what may not stand in a request line: net/http sends a query as it is.
func encodeQuery(query string) string {
	var b strings.Builder
	for _, c := range []byte(query) {
		if c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
