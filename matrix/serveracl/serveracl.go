// Package serveracl reads m.room.server_acl: which servers may take part in a room (client-server API, "Server Access Control
// Lists").
package serveracl

import (
	"encoding/json"
	"net/netip"
	"strings"

	"hongyan/matrix"
	"hongyan/matrix/internal/glob"
)

// List is the content of m.room.server_acl, ready to be asked.
type List struct {
	allow, deny []glob.Glob
	noLiterals  bool
}

// Parse reads the content. What is malformed counts as missing: a list that is none is empty, an entry that is no text is left
// out, and allow_ip_literals is true.
func Parse(content []byte) *List {
	var fields map[string]json.RawMessage // whose keys, unlike a struct's, are told apart by their case
	if json.Unmarshal(content, &fields) != nil {
		return &List{}
	}
	return &List{
		allow: patterns(fields["allow"]), deny: patterns(fields["deny"]), noLiterals: string(fields["allow_ip_literals"]) == "false",
	}
}

func patterns(raw json.RawMessage) []glob.Glob {
	var entries []json.RawMessage
	if json.Unmarshal(raw, &entries) != nil {
		return nil
	}
	var list []glob.Glob
	for _, e := range entries {
		var pattern string
		if len(e) > 0 && e[0] == '"' && json.Unmarshal(e, &pattern) == nil {
			list = append(list, glob.New(pattern))
		}
	}
	return list
}

// Allows tells whether a server may take part in the room. Its port does not matter.
func (l *List) Allows(server matrix.ServerName) bool {
	host, _ := server.HostPort()
	if l.noLiterals && isLiteral(host) {
		return false
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return !matches(l.deny, host) && matches(l.allow, host)
}

func matches(list []glob.Glob, host string) bool {
	for i := range list {
		if list[i].MatchAll(host) {
			return true
		}
	}
	return false
}

// isLiteral also takes what only looks like an address (001.2.3.4): no domain is made of digits alone.
func isLiteral(host string) bool {
	if strings.Trim(host, "0123456789.") == "" {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}
