package haproxytest

import (
	"cmp"
	"fmt"
	"strings"
)

// Config says what HAProxy is put before.
type Config struct {
	// DNS is the name server (host:port) that is asked for the SRV record Name.
	DNS  string
	Name string
	// Slots is for how many servers found by DNS there is room; 0 is 10.
	Slots int
	// Servers are given ones (host:port), instead of DNS.
	Servers []string
}

// Text is the configuration file. bind is where clients connect, socket a path for HAProxy's own commands.
//
// A request is sent to another server when the connection fails, whatever it is; when the server ends the connection without an
// answer, or says 503, only if it is harmless to be sent twice, for which all its attempts have one key. With round robin that
// is done at once; with another algorithm, or when one server is left, HAProxy waits first, a second or the time-out of
// connecting. A server that hangs is left after three checks, and what it has in its hands is given up. One that leaves answers
// the checks with 404 until it has answered everything, and only gets nothing new; that it is gone from DNS does not matter for
// longer than that may take.
func (c Config) Text(bind, socket string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `global
  maxconn 8000
  stats socket %s mode 600 level admin

defaults
  mode http
  timeout connect 500ms
  timeout client 100s
  timeout server 100s
  timeout queue 5s
  timeout check 500ms
  timeout http-keep-alive 10m
  retries 3
  option redispatch 1
  retry-on conn-failure empty-response 503
  option forwardfor

`, socket)
	if c.DNS != "" {
		fmt.Fprintf(&b, `resolvers hongyan
  nameserver hongyan %s
  accepted_payload_size 4096
  resolve_retries 3
  timeout resolve 500ms
  timeout retry 500ms
  hold valid 500ms
  hold obsolete 30s
  hold nx 10m
  hold other 10m
  hold refused 10m
  hold timeout 10m

`, c.DNS)
	}
	fmt.Fprintf(&b, `frontend clients
  bind %s
  default_backend gateways

backend gateways
  balance roundrobin
  http-request set-header X-Hongyan-Retry-Key %%[uuid()]
  http-request disable-l7-retry unless { method GET HEAD OPTIONS PUT } or { method DELETE } { path_beg /_matrix/client/v3/directory/ }
  option httpchk GET /_hongyan/health
  http-check expect status 200
  http-check disable-on-404
  default-server check inter 500ms fastinter 500ms downinter 200ms fall 3 rise 1 on-marked-down shutdown-sessions
`, bind)
	if c.DNS != "" {
		fmt.Fprintf(&b, "  server-template gateway 1-%d %s resolvers hongyan init-addr none\n", cmp.Or(c.Slots, 10), c.Name)
	}
	for n, server := range c.Servers {
		fmt.Fprintf(&b, "  server gateway%d %s\n", n+1, server)
	}
	return b.String()
}
