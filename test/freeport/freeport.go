// Package freeport finds ports for servers that tests stop and start again.
//
// A port that the kernel chose comes from the range of outgoing connections: while its server is down, somebody's connection
// may take it. Those found here lie below that range.
package freeport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

const (
	lowest, highest = 11000, 32000
	attempts        = 200
)

// given are the ports that this test binary has had already: their servers may not listen yet, or be down for a moment.
var given sync.Map //nolint:gochecknoglobals // all tests of a binary share the machine

// On returns an address (host:port) of this machine at which nobody listens, and which it has not returned before.
func On(ctx context.Context, host string) (string, error) {
	var err error
	for range attempts {
		port := lowest + rand.IntN(highest-lowest)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		addr := net.JoinHostPort(host, strconv.Itoa(port))
		var l net.Listener
		if l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", fmt.Errorf("find a free port: %w", err)
}
