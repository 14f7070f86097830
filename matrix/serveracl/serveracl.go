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
	var fields struct {
		Allow    json.RawMessage `json:"allow"`
		Deny     json.RawMessage `json:"deny"`
		Literals json.RawMessage `json:"allow_ip_literals"`
	}
	if json.Unmarshal(content, &fields) != nil {
		return &List{}
	}
	return &List{
		allow: patterns(fields.Allow), deny: patterns(fields.Deny), noLiterals: string(fields.Literals) == "false",
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
	host = strings.ToLower(host)
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

func isLiteral(host string) bool {
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}
