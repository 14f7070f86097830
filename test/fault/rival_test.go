package fault_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"hongyan/bench"
	"hongyan/test/harness"
)

// rival starts a process with all services on the same databases and bus, in another place of the registry: neither side
// knows of the other, so that both believe to own every room. Where there is a balancer, the load goes to both.
func rival(s *scene) []strike {
	return strikesAt(s.Registry != nil, "room", func(t *testing.T) (effect, error) {
		ctx := t.Context()
		n := s.Extra("/rival", harness.Services()...)
		if err := n.Up(ctx); err != nil {
			return effect{}, err
		}
		err := wait(ctx, s.span(4*time.Second, 30*time.Second))
		err = errors.Join(err, s.bothWays(ctx, "http://"+n.Listen))
		if status := s.Remove(n, syscall.SIGTERM); status != 0 {
			err = errors.Join(err, fmt.Errorf("it left with status %d", status))
		}
		return effect{}, err
	})
}

// bothWays has one account talk in one room through both sides at once, also under the same transaction ids.
func (s *scene) bothWays(ctx context.Context, other string) error {
	transport := bench.NewTransport(8)
	defer transport.CloseIdleConnections()
	here := bench.NewClient(transport, s.URL)
	if err := here.Register(ctx, fmt.Sprintf("rival-%d", time.Now().UnixNano()), "pass word", "", ""); err != nil {
		return err
	}
	there := bench.NewClient(transport, other)
	there.Token, there.UserID = here.Token, here.UserID
	roomID, err := here.CreateRoom(ctx, map[string]any{"preset": "private_chat"})
	if err != nil {
		return fmt.Errorf("create a room: %w", err)
	}
	const each = 100
	var sent [2][]bench.Message
	g, gctx := errgroup.WithContext(ctx)
	for side, c := range []*bench.Client{here, there} {
		g.Go(func() error {
			for i := range each {
				txn := "both-" + strconv.Itoa(i)
				if i%2 == 0 {
					txn = fmt.Sprintf("side-%d-%d", side, i)
				}
				content := []byte(fmt.Sprintf(`{"msgtype":"m.text","body":%q}`, txn))
				id, err := c.Send(gctx, roomID, txn, content)
				if err != nil {
					return fmt.Errorf("send %s: %w", txn, err)
				}
				sent[side] = append(sent[side], bench.Message{Sender: c, RoomID: roomID, TxnID: txn, EventID: id, Content: content})
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	var different []bench.Message
	for i, m := range sent[1] {
		same := sent[0][i]
		switch {
		case m.TxnID != same.TxnID:
			different = append(different, m)
		case m.EventID != same.EventID:
			return fmt.Errorf("transaction %s made %s on one side and %s on the other", m.TxnID, same.EventID, m.EventID)
		}
	}
	all := append(slices.Clone(sent[0]), different...)
	return errors.Join(checkIdempotent(ctx, all), checkHistory(ctx, all))
}
