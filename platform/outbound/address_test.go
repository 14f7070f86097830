package outbound_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/outbound"
)

// TestPublic holds, of each kind of address that a stranger must not have us reach, its ends and its neighbours.
func TestPublic(t *testing.T) {
	for public, texts := range map[bool][]string{
		false: {
			"0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.255",
			"169.254.0.0", "169.254.169.254", "172.16.0.0", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1",
			"192.168.255.255", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
			"255.255.255.255",
			"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:169.254.169.254", "::ffff:0:8.8.8.8",
			"64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::a00:1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1",
			"2001:20::1", "2001:1ff::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00::1",
			"fe80::1", "fe80::1%eth0", "2606:4700::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
		},
		true: {
			"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
			"169.253.255.255", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
			"223.255.255.255", "::ffff:8.8.8.8", "2001:200::1", "2606:4700:4700::1111", "2a00:1450::1", "2003::1",
		},
	} {
		for _, text := range texts {
			require.Equal(t, public, outbound.Public(netip.MustParseAddr(text)), text)
		}
	}
	require.False(t, outbound.Public(netip.Addr{}))
}

// TestPermits is about what is allowed and refused besides: an allowed range of a translator does not allow what is behind it.
func TestPermits(t *testing.T) {
	c, err := outbound.New(outbound.Config{
		Allow:  []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("fd00::/8")},
		Refuse: []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24"), netip.MustParsePrefix("9.9.9.9/32")},
	})
	require.NoError(t, err)
	for text, want := range map[string]bool{
		"10.1.1.1": true, "::ffff:10.1.1.1": true, "10.1.2.1": false, "::ffff:10.1.2.1": false, "10.2.0.1": false,
		"9.9.9.9": false, "::ffff:9.9.9.9": false, "8.8.8.8": true, "fd00::1": true, "fc00::1": false,
		"64:ff9b::8.8.8.8": true, "64:ff9b::10.1.1.1": true, "64:ff9b::10.1.2.1": false, "64:ff9b::127.0.0.1": false,
		"64:ff9b::9.9.9.9": false, "2002:808:808::": false, "::1": false,
	} {
		require.Equal(t, want, outbound.Permits(c, netip.MustParseAddr(text)), text)
	}
}
