package discovery

import "github.com/miekg/dns"

// Answer answers one message, as a listener has it done.
func (s *DNS) Answer(w dns.ResponseWriter, request *dns.Msg) { s.answer(w, request) }
