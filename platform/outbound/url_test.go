package outbound_test

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/outbound"
)

// TestCheck refuses URLs by what can be seen of them, before any name is looked up.
func TestCheck(t *testing.T) {
	c, err := outbound.New(outbound.Config{
		Ports: []int{80, 443, 8443}, Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Deny: []string{"evil.example", "*.evil.example", "https://site.example/private/*", "bücher.example", "*secret*tail"},
	})
	require.NoError(t, err)
	for text, ok := range map[string]bool{
		"http://example.org": true, "https://example.org/a?b=c": true, "https://example.org:8443/": true, "http://10.1.2.3/": true,
		"http://[::ffff:10.1.2.3]/": true, "https://a_b.example.org/": true, "https://EXAMPLE.org./": true,
		"ftp://example.org": false, "file:///etc/passwd": false, "gopher://example.org": false, "javascript:alert(1)": false,
		"http:example.org": false, "http:///path": false, "//example.org/": false, "https://user@example.org/": false,
		"https://user:password@example.org/": false, "https://example.org:22/": false, "https://example.org:0/": false,
		"https://example.org:8080/": false, "http://127.0.0.1/": false, "http://[::1]/": false, "http://[::ffff:127.0.0.1]/": false,
		"http://169.254.169.254/latest": false, "http://[fe80::1%25eth0]/": false, "http://192.168.1.1/": false,
		"https://evil.example/": false, "https://EVIL.example./": false, "https://a.b.evil.example/": false, "https://notevil.example/": true,
		"https://site.example/private/x": false, "http://site.example/PRIVATE/x": false, "https://site.example/privat%65/x": false,
		"https://site.example/public": true, "https://xn--bcher-kva.example/": false, "https://a.secret.b.tail/": false,
		"https://" + strings.Repeat("a", 300) + ".example/": false, "https://example.org/" + strings.Repeat("a", 9000): false,
	} {
		u, err := url.Parse(text)
		require.NoError(t, err, text)
		err = c.Check(u)
		if ok {
			require.NoError(t, err, text)
			continue
		}
		require.ErrorIs(t, err, outbound.ErrRefused, text)
	}

	only, err := outbound.New(outbound.Config{HTTPSOnly: true, Ports: []int{0}})
	require.NoError(t, err)
	require.ErrorIs(t, only.Check(&url.URL{Scheme: "http", Host: "example.org"}), outbound.ErrRefused)
	require.NoError(t, only.Check(&url.URL{Scheme: "https", Host: "example.org:12345"}))
}

// TestConfig refuses what an administrator did not mean.
func TestConfig(t *testing.T) {
	for name, cfg := range map[string]outbound.Config{
		"mapped range": {Allow: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}},
		"no range":     {Refuse: []netip.Prefix{{}}},
		"port":         {Ports: []int{70000}},
		"empty":        {Deny: []string{""}},
		"user":         {Deny: []string{"user@example.org"}},
		"scheme":       {Deny: []string{"ftp://example.org"}},
		"negative":     {Timeout: -1},
	} {
		_, err := outbound.New(cfg)
		require.Error(t, err, name)
	}
}
