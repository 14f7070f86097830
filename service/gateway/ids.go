package gateway

import (
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
)

// idSource makes ids that are unique over all gateways and their lives: a random start and a counter.
type idSource struct {
	start string
	count atomic.Uint64
}

func newIDSource(random io.Reader) (*idSource, error) {
	var start [12]byte
	if _, err := io.ReadFull(random, start[:]); err != nil {
		return nil, fmt.Errorf("read random bytes: %w", err)
	}
	return &idSource{start: hex.EncodeToString(start[:])}, nil
}

func (s *idSource) next() string {
	return s.start + "-" + strconv.FormatUint(s.count.Add(1), 36)
}
