package discovery

import "github.com/miekg/dns"

// The largest answers over UDP, in bytes, whatever the client offers. Whoever is on this machine is who they say, and may
// have one that does not fit into a packet of every network.
const (
	maxOverUDP    = 1232
	maxOnLoopback = 4096
)

// size is how long an answer over UDP may be.
func size(request *dns.Msg, largest int) int {
	if opt := request.IsEdns0(); opt != nil {
		return min(max(int(opt.UDPSize()), dns.MinMsgSize), largest)
	}
	return dns.MinMsgSize
}

// fit says what the server takes itself, and makes the answer no longer than size: what was not asked for goes first, without
// a word; then the answers, and the client is told to ask over TCP.
func fit(reply, request *dns.Msg, size int) {
	reply.Compress = true
	room := size
	if opt := request.IsEdns0(); opt != nil {
		own := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		own.SetUDPSize(maxOverUDP)
		if opt.Version() != 0 {
			reply.Rcode = dns.RcodeBadVers
			reply.Answer, reply.Ns, reply.Extra = nil, nil, nil
		}
		own.SetExtendedRcode(uint16(reply.Rcode))
		room -= dns.Len(own)
		defer func() { reply.Extra = append(reply.Extra, own) }()
	}
	if reply.Len() > room {
		reply.Extra = nil
	}
	reply.Truncate(room)
	reply.Compress = true
}
