package zookeeper

import (
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/zeromicro/go-zero/core/logx"
)

// news gathers what the client reports, for the goroutine that works on it.
type news struct {
	wake   func()
	folder string

	mu    sync.Mutex
	state state
	ended bool // the client is being closed: what it reports now is no news
}

// state is what the client reported; what happened since the last take is in its second half.
type state struct {
	up    bool      // there is a session on a connection
	had   bool      // there ever was one
	since time.Time // when the connection was lost

	again   bool            // there is a connection that was not there before
	names   bool            // nodes came or went
	changed map[string]bool // nodes that were changed or deleted, by name
}

// take returns the state, and begins a new second half.
func (n *news) take() state {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.state
	n.state.again, n.state.names, n.state.changed = false, false, nil
	return s
}

// end takes no further events.
func (n *news) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = true
}

// add takes an event of the client, whose goroutines must not wait. A watch is gone once it has told.
func (n *news) add(e zk.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := &n.state
	switch {
	case n.ended:
	case e.Type == zk.EventSession && e.State == zk.StateHasSession:
		logx.Infof("registry: zookeeper at %s is there", e.Server)
		s.up, s.had, s.again = true, true, true
	case e.Type == zk.EventSession && s.up && (e.State == zk.StateDisconnected || e.State == zk.StateExpired):
		logx.Errorf("registry: lost zookeeper at %s", e.Server)
		s.up, s.since = false, time.Now()
	case e.Type == zk.EventSession: // on the way from one to the other
	case e.Path == n.folder:
		s.names = true
	case len(e.Path) > len(n.folder):
		if s.changed == nil {
			s.changed = map[string]bool{}
		}
		s.changed[e.Path[len(n.folder)+1:]] = true
	}
	n.wake()
}
