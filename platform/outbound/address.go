package outbound

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// notPublic are the ranges of the registries of special addresses (RFC 6890 and later) that are not for everybody, and those in which
// an address of IPv4 hides. Of IPv6 all is refused but 2000::/3, which is all there is of global unicast.
var notPublic = prefixes(
	"0.0.0.0/8",       // this host, unspecified
	"10.0.0.0/8",      // private
	"100.64.0.0/10",   // carrier-grade NAT
	"127.0.0.0/8",     // loopback
	"169.254.0.0/16",  // link-local, metadata of clouds
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // protocol assignments
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // relays of 6to4
	"192.168.0.0/16",  // private
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved, broadcast
	"2001::/23",       // protocol assignments: Teredo, ORCHID, benchmarks
	"2001:db8::/32",   // documentation
	"2002::/16",       // 6to4
	"3fff::/20",       // documentation
)

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	nat64         = netip.MustParsePrefix("64:ff9b::/96")
	nat64Local    = netip.MustParsePrefix("64:ff9b:1::/48")
	sixToFour     = netip.MustParsePrefix("2002::/16")
	teredo        = netip.MustParsePrefix("2001::/32")
	v4Compatible  = netip.MustParsePrefix("::/96")
)

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}

// Public tells whether an address is one that everybody reaches. An address of IPv4 in one of IPv6 is what it stands for where the
// machine itself translates it (::ffff:0:0/96), and not public where somebody else does (NAT64, 6to4, Teredo).
func Public(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.Zone() != "" || addr.Is6() && !globalUnicast.Contains(addr) {
		return false
	}
	return !within(notPublic, addr)
}

func within(ranges []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// embedded is the address of IPv4 that a translator makes of an address of IPv6, if any.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	if !addr.Is6() {
		return netip.Addr{}, false
	}
	b := addr.As16()
	switch {
	case nat64.Contains(addr), nat64Local.Contains(addr), v4Compatible.Contains(addr) && addr != netip.IPv6Loopback():
		return netip.AddrFrom4([4]byte(b[12:])), true
	case sixToFour.Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case teredo.Contains(addr):
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	}
	return netip.Addr{}, false
}

// permits tells whether an address may be dialled. Allowing the range of a translator does not allow what it translates to.
func (c *Client) permits(addr netip.Addr) bool {
	zone := addr.Zone() != ""
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() || within(c.cfg.Refuse, addr) {
		return false
	}
	if inner, ok := embedded(addr); ok && !c.permits(inner) {
		return false
	}
	return within(c.cfg.Allow, addr) || Public(addr) && !zone
}

// control refuses to dial what may not be reached: it is asked for each address of a name, after it was resolved.
func (c *Client) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: address %q", ErrRefused, address)
	}
	if !c.permits(to.Addr()) {
		return fmt.Errorf("%w: address %s", ErrRefused, to.Addr())
	}
	return nil
}
