package fault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"
	"golang.org/x/sync/errgroup"

	"hongyan/bench"
)

const (
	crowdAccounts = 40
	crowdPolls    = 2000
	crowdBound    = 5 * time.Second
)

// crowdMoves gathers 2,000 long polls at one instance of sync and kills it: all must wait elsewhere soon, and miss nothing.
func crowdMoves(s *scene) []strike {
	return strikesAt(len(s.Running("sync")) > 1, "sync, "+strconv.Itoa(crowdPolls)+" polls", func(t *testing.T) (effect, error) {
		ctx := t.Context()
		nodes := s.Running("sync")
		victim, others := nodes[0], nodes[1:]
		for _, n := range others {
			if status := n.Stop(syscall.SIGTERM); status != 0 {
				return effect{}, fmt.Errorf("%s ended with status %d", n.Name, status)
			}
		}
		c, err := gather(ctx, s.URL)
		if err != nil {
			return effect{}, err
		}
		// Whoever polls already stays where it is until it is answered.
		if err := s.Up(ctx, others...); err != nil {
			return effect{}, errors.Join(err, c.leave(ctx))
		}
		victim.Stop(syscall.SIGKILL)
		e, err := c.hears(ctx)
		return e, errors.Join(err, victim.Up(ctx), c.leave(ctx))
	})
}

// crowd is many polls of few accounts, who share a room.
type crowd struct {
	transport interface{ CloseIdleConnections() }
	speaker   *bench.Client
	roomID    string
	stop      context.CancelFunc
	polls     sync.WaitGroup
	// asking counts the polls that have been sent at least once, heard those that brought the word; failed those that failed.
	asking, heard, failed, twice atomic.Int64
}

const word = "everybody hears this once"

// gather makes the accounts and has all of them poll.
func gather(ctx context.Context, url string) (*crowd, error) {
	transport := bench.NewTransport(crowdPolls + crowdAccounts)
	c := &crowd{transport: transport}
	members := make([]*bench.Client, crowdAccounts)
	for i := range members {
		members[i] = bench.NewClient(transport, url)
	}
	name := fmt.Sprintf("crowd-%d-", time.Now().UnixNano())
	err := all(ctx, members, func(ctx context.Context, i int, m *bench.Client) error {
		return m.Register(ctx, name+strconv.Itoa(i), "pass word", "", "")
	})
	if err != nil {
		return nil, err
	}
	c.speaker = members[0]
	if c.roomID, err = c.speaker.CreateRoom(ctx, map[string]any{"preset": "public_chat"}); err != nil {
		return nil, fmt.Errorf("create the crowd's room: %w", err)
	}
	since := make([]string, crowdAccounts)
	err = all(ctx, members, func(ctx context.Context, i int, m *bench.Client) error {
		if err := m.Join(ctx, c.roomID); err != nil {
			return fmt.Errorf("join the crowd's room: %w", err)
		}
		return m.Sync(ctx, "", "", 0, func(body []byte) error {
			since[i] = string([]byte(gjson.GetBytes(body, "next_batch").Str))
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	polling, stop := context.WithCancel(ctx)
	c.stop = stop
	for i := range crowdPolls {
		c.polls.Go(func() { c.poll(polling, members[i%crowdAccounts], since[i%crowdAccounts]) })
	}
	return c, errors.Join(
		until(ctx, "everybody polls", func() bool { return c.asking.Load() == crowdPolls }),
		wait(ctx, 2*time.Second), // for the requests to arrive where they wait
	)
}

// all does something for all members, a few at once.
func all(ctx context.Context, members []*bench.Client, do func(ctx context.Context, i int, m *bench.Client) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, m := range members {
		g.Go(func() error { return do(ctx, i, m) })
	}
	return g.Wait()
}

// poll waits for news until ctx ends.
func (c *crowd) poll(ctx context.Context, m *bench.Client, since string) {
	c.asking.Add(1)
	heard := 0
	for ctx.Err() == nil {
		err := m.Sync(ctx, since, "", 30*time.Second, func(body []byte) error {
			if bytes.Contains(body, []byte(word)) {
				if heard++; heard > 1 {
					c.twice.Add(1)
				} else {
					c.heard.Add(1)
				}
			}
			since = string([]byte(gjson.GetBytes(body, "next_batch").Str))
			return nil
		})
		if err != nil && ctx.Err() == nil {
			c.failed.Add(1)
			_ = wait(ctx, 50*time.Millisecond)
		}
	}
}

// hears says a word and waits until all polls have brought it.
func (c *crowd) hears(ctx context.Context) (effect, error) {
	killed := time.Now()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := c.speaker.Send(ctx, c.roomID, "word", []byte(`{"msgtype":"m.text","body":"`+word+`"}`)); err != nil {
		return effect{}, fmt.Errorf("speak to the crowd: %w", err)
	}
	err := until(ctx, "everybody has heard it", func() bool { return c.heard.Load() == crowdPolls })
	took := time.Since(killed)
	e := effect{note: fmt.Sprintf("%d of %d heard it, the last after %s; %d polls failed", c.heard.Load(), crowdPolls, show(took), c.failed.Load())}
	if limit := time.Duration(float64(crowdBound) * slack()); err == nil && took > limit {
		err = fmt.Errorf("the last poll waited elsewhere after %s, want %s", show(took), limit)
	}
	if n := c.twice.Load(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d polls brought it twice", n))
	}
	return e, err
}

// leave ends the polls: a last message answers those that are parked.
func (c *crowd) leave(ctx context.Context) error {
	c.stop()
	_, err := c.speaker.Send(ctx, c.roomID, "farewell", []byte(`{"msgtype":"m.text","body":"farewell"}`))
	c.polls.Wait()
	c.transport.CloseIdleConnections()
	return err
}
