package keys_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	keyspb "hongyan/api/keys"
	"hongyan/service/keys"
)

// inbox is what one device has got, as a client that syncs.
type inbox struct {
	d device
	// since is the position that its last answer was through; what is before is acknowledged with the next question.
	since int64
	// next is the number of the next message of each sender.
	next map[string]int
	got  int
}

// poll asks once. The answer may get lost, and then the same question is asked again.
func (in *inbox) poll(ctx context.Context, g *rig, random *rand.Rand) error {
	if _, err := g.client.Acknowledge(ctx, &keyspb.AcknowledgeRequest{
		UserId: userID(in.d.user), DeviceId: in.d.id, Through: in.since,
	}); err != nil {
		return err
	}
	resp, err := g.client.ToDevice(ctx, &keyspb.ToDeviceRequest{
		UserId: userID(in.d.user), DeviceId: in.d.id, After: in.since, Limit: int32(1 + random.IntN(20)),
	})
	if err != nil {
		return err
	}
	if random.IntN(4) == 0 {
		return nil
	}
	for _, m := range resp.GetMessages() {
		if m.GetPosition() <= in.since {
			return fmt.Errorf("position %d after %d", m.GetPosition(), in.since)
		}
		in.since = m.GetPosition()
		sender, n := gjson.GetBytes(m.GetMessage(), "sender").String(), int(gjson.GetBytes(m.GetMessage(), "content.n").Int())
		if n != in.next[sender] {
			return fmt.Errorf("%v got message %d of %s, not %d", in.d, n, sender, in.next[sender])
		}
		in.next[sender]++
		in.got++
	}
	return nil
}

// TestToDeviceExactlyOnceInOrder lets many devices send at once, through any instance, repeating what they like, while others read.
func TestToDeviceExactlyOnceInOrder(t *testing.T) {
	for name, instances := range map[string]int{"sqlite": 1, "postgres": 2} {
		t.Run(name, func(t *testing.T) {
			url := databases[name](t)
			rigs := []*rig{newRig(t, url, nil, keys.Default())}
			for len(rigs) < instances {
				rigs = append(rigs, newRig(t, url, rigs[0], keys.Default()))
			}
			const senders, receivers, messages = 8, 3, 40
			everybody := mail{}
			var inboxes []*inbox
			for r := range receivers {
				user := fmt.Sprint("r", r)
				everybody[userID(user)] = nil
				for d := range 2 {
					inboxes = append(inboxes, &inbox{d: rigs[0].login(user, fmt.Sprint("D", d)), next: map[string]int{}})
				}
			}
			var sending, reading sync.WaitGroup
			for s := range senders {
				random := rand.New(rand.NewPCG(uint64(s), 1))
				sending.Go(func() { sendNumbered(t, rigs, fmt.Sprint("s", s), everybody, messages, random) })
			}
			ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
			defer cancel()
			for i, in := range inboxes {
				random := rand.New(rand.NewPCG(uint64(i), 2))
				reading.Go(func() {
					for in.got < senders*messages && ctx.Err() == nil {
						if err := in.poll(ctx, rigs[random.IntN(len(rigs))], random); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			sending.Wait()
			reading.Wait()
			for _, in := range inboxes {
				require.Equal(t, senders*messages, in.got, in.d)
				rigs[0].acknowledge(in.d, in.since)
				require.Empty(t, rigs[0].waiting(in.d, 0, 0), "and nothing is left")
			}
		})
	}
}

// sendNumbered sends messages to everybody one after the other, each perhaps several times, at once or later.
func sendNumbered(t *testing.T, rigs []*rig, user string, everybody mail, messages int, random *rand.Rand) {
	d := device{user, "S"}
	send := func(n int) {
		m := mail{}
		for recipient := range everybody {
			m[recipient] = map[string]any{"*": map[string]any{"n": n}}
		}
		url := rigs[random.IntN(len(rigs))].url
		if status, body, err := tryToDevice(url, d, "a", fmt.Sprint(n), m); err != nil || status != 200 {
			t.Errorf("send: %d %s %v", status, body, err)
		}
	}
	for n := range messages {
		switch random.IntN(4) {
		case 0: // twice at once
			again := rigs[random.IntN(len(rigs))].url
			m := mail{}
			for recipient := range everybody {
				m[recipient] = map[string]any{"*": map[string]any{"n": n}}
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				if status, body, err := tryToDevice(again, d, "a", fmt.Sprint(n), m); err != nil || status != 200 {
					t.Errorf("repeat: %d %s %v", status, body, err)
				}
			})
			send(n)
			wg.Wait()
		case 1: // and something of before
			send(n)
			send(random.IntN(n + 1))
		default:
			send(n)
		}
	}
}

// TestToDeviceOutlivesInstances stops the instance and starts another one between what is sent, repeated, read and acknowledged.
func TestToDeviceOutlivesInstances(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			g := newRig(t, url, nil, keys.Default())
			first := g
			restart := func() {
				g.stop()
				g = newRig(t, url, first, keys.Default())
			}
			alice, bob := g.login("alice", "A"), g.login("bob", "B")
			for i := range 5 {
				g.send(alice, "a", fmt.Sprint(i), to("bob", text(fmt.Sprint(i)), "B"))
				restart()
				g.send(alice, "a", fmt.Sprint(i), to("bob", text(fmt.Sprint(i)), "B"))
			}
			all := g.waiting(bob, 0, 0)
			require.Len(t, all, 5)
			g.acknowledge(bob, all[2].GetPosition())
			restart()
			require.Equal(t, []string{"3", "4"}, g.bodies(bob))
			g.send(alice, "a", "0", to("bob", text("0"), "B"))
			require.Equal(t, []string{"3", "4"}, g.take(bob))
			restart()
			require.Empty(t, g.bodies(bob))
		})
	}
}

// TestToDeviceQueuesAreMeasuredByChance sends so much that the chance of a queue that is far beyond its bound is nil.
func TestToDeviceQueuesAreMeasuredByChance(t *testing.T) {
	g := newRig(t, databases["sqlite"](t), nil, smallQueues(128, 64<<20)) // measured with every second message
	alice, bob := g.login("alice", "A"), g.login("bob", "B")
	const n = 400
	for i := range n {
		g.send(alice, "a", fmt.Sprint(i), to("bob", text(fmt.Sprint(i)), "B"))
	}
	left := g.bodies(bob)
	require.Less(t, len(left), 128+60)
	require.Equal(t, fmt.Sprint(n-1), left[len(left)-1], "what is newest stays")
}
