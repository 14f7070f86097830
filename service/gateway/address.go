package gateway

import (
	"net/http"
	"net/netip"
	"strings"
)

// clientAddress returns the address of whoever sent the request. X-Forwarded-For is read from its end, only as long as
// the hop that wrote it is trusted. The zero Addr says that it is not known.
func clientAddress(r *http.Request, trusted []netip.Prefix) netip.Addr {
	address := peerAddress(r)
	lines := r.Header["X-Forwarded-For"]
	if !address.IsValid() || len(lines) == 0 || !isTrusted(address, trusted) {
		return address
	}
	hops := strings.Split(strings.Join(lines, ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return address // what stands before it cannot be believed either
		}
		address = hop.WithZone("").Unmap() // what a zone is is known to its own machine alone
		if !isTrusted(address, trusted) {
			break
		}
	}
	return address
}

// peerAddress is the address of who has connected; the zero Addr where it is not known.
func peerAddress(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().WithZone("").Unmap()
}

func isTrusted(address netip.Addr, trusted []netip.Prefix) bool {
	for _, prefix := range trusted {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}
