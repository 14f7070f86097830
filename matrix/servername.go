package matrix

import (
	"net/netip"
	"strconv"
	"strings"
)

// ServerName names a homeserver: a DNS name, an IPv4 address or an IPv6 address in brackets, with
// an optional port (appendices, "Server Name"). It is case-sensitive.
type ServerName string

// ParseServerName checks a server name. The error is M_INVALID_PARAM.
func ParseServerName(s string) (ServerName, error) {
	if !validServerName(s) {
		return "", Errorf(CodeInvalidParam, "The server name is invalid: it must be a host name or an IP address, with an optional port.")
	}
	return ServerName(s), nil
}

// String returns the name.
func (n ServerName) String() string { return string(n) }

// HostPort splits the name; port is "" where there is none. The brackets of an IPv6 address stay.
func (n ServerName) HostPort() (host, port string) { return splitPort(string(n)) }

func splitPort(s string) (host, port string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.IndexByte(s[i:], ']') >= 0 {
		return s, ""
	}
	return s[:i], s[i+1:]
}

func validServerName(s string) bool {
	if len(s) > MaxIDLength {
		return false
	}
	host, port := splitPort(s)
	if len(host) < len(s) && !validPort(port) {
		return false
	}
	return validHost(host)
}

func validPort(port string) bool {
	if port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "" {
		return false
	}
	n, err := strconv.Atoi(port)
	return err == nil && n <= 65535
}

func validHost(host string) bool {
	if host == "" {
		return false
	}
	if host[0] == '[' {
		if len(host) < 4 || host[len(host)-1] != ']' {
			return false
		}
		addr, err := netip.ParseAddr(host[1 : len(host)-1])
		return err == nil && addr.Is6() && addr.Zone() == ""
	}
	for i := range len(host) {
		if !isDNSChar(host[i]) {
			return false
		}
	}
	return true
}

func isDNSChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.'
}
