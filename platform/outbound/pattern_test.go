package outbound_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/outbound"
)

// TestPatterns denies what an administrator means, however the pattern is spelt, and however the URL.
func TestPatterns(t *testing.T) {
	for pattern, urls := range map[string]map[string]bool{ // whether a URL is denied
		"example.org": {
			"https://example.org/": true, "https://EXAMPLE.org.:8080/x?y": true, "https://a.example.org/": false, "https://example.org.evil.example/": false,
		},
		"example.org.":           {"https://example.org/": true, "https://example.org./": true},
		"HTTPS://Example.ORG":    {"http://example.org/a": true},
		"bücher.example":         {"https://bücher.example/": true, "https://xn--bcher-kva.example/": true, "https://BÜCHER.example./": true},
		"xn--bcher-kva.example":  {"https://bücher.example/": true},
		"*.bücher.example":       {"https://www.bücher.example/": true, "https://bücher.example/": false},
		"*.bücher.example./x/*":  {"https://www.xn--bcher-kva.example/x/y": true, "https://www.bücher.example/y": false},
		"*bad*.example":          {"https://a.very-bad-one.example/": true, "https://good.example/": false},
		"*":                      {"https://any.example/": true},
		"[2606:4700::1111]":      {"https://[2606:4700::1111]/": true, "https://[2606:4700:0:0::1111]:8443/": true, "https://[2606:4700::1112]/": false},
		"2606:4700:0::1111":      {"https://[2606:4700::1111]/": true},
		"[2606:4700:0::1111]/x*": {"https://[2606:4700::1111]/xy": true, "https://[2606:4700::1111]/": false},
		"1.2.3.4":                {"https://1.2.3.4/": true, "https://[::ffff:1.2.3.4]/": true},
		"::ffff:102:304":         {"https://1.2.3.4/": true},
		"1.2.*":                  {"https://1.2.3.4/": true, "https://[::ffff:1.2.3.4]/": true, "https://11.2.3.4/": false},
		"example.org/private/*": {
			"https://example.org/private/x": true, "https://example.org//private/x": true, "https://example.org/./private/x": true,
			"https://example.org/public/../private/x": true, "https://example.org/%2e/PRIVATE/x": true, "https://example.org/private//x": true,
			"https://example.org/private/": true, "https://example.org//private/.": true, "https://example.org/private/../public": true,
			"https://example.org///private%2fx": true, "https://example.org/private": false, "https://example.org/x/private/x": false, "https://example.org": false,
		},
		"example.org//private/./*": {"https://example.org/private/x": true, "https://example.org//private/x": true},
		"example.org/a%20b/%C3%A4": {"https://example.org/a%20b/%c3%a4": true, "https://example.org/a%20b/%c3%84": true},
		"example.org/%2a/*":        {"https://example.org/*/x": true, "https://example.org/a/x": false},
		"example.org/":             {"https://example.org": true, "https://example.org//?a=b": true, "https://example.org/x": false},
		"*/private/*":              {"https://any.example/private/x": true, "https://any.example/x": false},
	} {
		c, err := outbound.New(outbound.Config{Deny: []string{pattern}, Ports: []int{0}})
		require.NoError(t, err, pattern)
		for text, denied := range urls {
			u, err := url.Parse(text)
			require.NoError(t, err, text)
			require.Equal(t, denied, c.Check(u) != nil, "%s by %s", text, pattern)
		}
	}
	// What no URL is like would seem to protect, and does not.
	for pattern, says := range map[string]string{
		"": "no name", ".": "no name", "/private/*": "no name", "example.org:8080": "port", "[2606:4700::1111]:443": "port", "*:8080": "port",
		"example.org:8080/x": "port", "[example.org]": "no address", "2606:4700:*": "IPv6", "[fe80::1%eth0]": "no address", "fe80::1%eth0": "IPv6",
		"example.org/a?secret=*": "question mark", "example.org?a": "host and the path", "example.org/a#b": "question mark", "user@example.org": "host and the path",
		"example .org": "spaces", "example.org/a b": "spaces", "*..example.org": "empty", "bü*.example": "ASCII",
		"example.org/100%": "escaped", "example.org/%00": "escaped", "ftp://example.org": "scheme", "http://https://example.org": "scheme",
	} {
		_, err := outbound.ParsePattern(pattern)
		require.ErrorContains(t, err, says, pattern)
		require.ErrorContains(t, err, "such as *.example.org", pattern)
	}
}
