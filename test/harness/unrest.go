package harness

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"
)

// absence is how long a process that unrest killed stays away.
const absence = 200 * time.Millisecond

// URLs are where clients can connect, the same after every restart: the balancer, where there is one, and each gateway.
func (c *Cluster) URLs() []string {
	urls := []string{c.URL}
	for _, n := range c.Nodes {
		if url := "http://" + n.Listen; n.Runs("gateway") && !slices.Contains(urls, url) {
			urls = append(urls, url)
		}
	}
	return urls
}

// Roll ends each node in turn, SIGTERM in good order or SIGKILL at once, and starts it again.
func (c *Cluster) Roll(ctx context.Context, sig syscall.Signal) error {
	want := 0
	if sig == syscall.SIGKILL {
		want = -1
	}
	for _, n := range c.Nodes {
		if status := n.Stop(sig); status != want {
			return fmt.Errorf("%s ended with status %d, want %d:\n%s", n.Name, status, want, n.Log())
		}
		if err := n.Up(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Unrest kills nodes one after the other, each for a moment, until it is ended.
type Unrest struct {
	victims     []*Node
	asked, done chan struct{}

	mu    sync.Mutex
	kills int
	err   error
}

// Unrest begins to kill nodes of these services, by turns. Those that nobody can stand in for are left out, so that where there
// is one process it does nothing. Whoever begins it ends it.
func (c *Cluster) Unrest(ctx context.Context, services ...string) *Unrest {
	u := &Unrest{asked: make(chan struct{}), done: make(chan struct{})}
	for turn := range c.Nodes {
		for _, s := range services {
			if of := c.Running(s); len(of) > 1 && turn < len(of) {
				u.victims = append(u.victims, of[turn])
			}
		}
	}
	go func() {
		defer close(u.done)
		for len(u.victims) > 0 && u.strike(ctx) {
		}
	}()
	return u
}

// strike kills the next one and brings it back. It tells whether to go on.
func (u *Unrest) strike(ctx context.Context) bool {
	select {
	case <-u.asked:
		return false
	default:
	}
	n := u.victims[u.kills%len(u.victims)]
	n.Stop(syscall.SIGKILL)
	time.Sleep(absence)
	err := n.Up(ctx)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.kills++
	u.err = err
	return err == nil
}

// Round tells whether every one was killed and came back, at least once. An error says that one did not come back.
func (u *Unrest) Round() (bool, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.kills >= len(u.victims), u.err
}

// End ends it and returns how many it killed, all of which are back unless there is an error. It is called once.
func (u *Unrest) End() (kills int, err error) {
	close(u.asked)
	<-u.done
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.kills, u.err
}
