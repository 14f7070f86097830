package e2e_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// person is an account with a running sync loop that remembers what it saw.
type person struct {
	*mautrix.Client
	mu   sync.Mutex
	seen map[id.RoomID][]*event.Event
	news chan struct{}
}

// follow starts the sync loop; it ends with the test.
func (p *person) follow(t *testing.T, on ...func(context.Context, *event.Event)) {
	t.Helper()
	t.Cleanup(p.start(context.Background(), p.syncer(on...)))
}

// syncer is a sync loop that remembers what the person saw.
func (p *person) syncer(on ...func(context.Context, *event.Event)) eager {
	syncer := eager{mautrix.NewDefaultSyncer()}
	syncer.FilterJSON = &mautrix.Filter{Room: &mautrix.RoomFilter{Timeline: &mautrix.FilterPart{Limit: longestGap}}}
	syncer.OnEvent(func(ctx context.Context, e *event.Event) {
		if e.Mautrix.EventSource&event.SourceTimeline != 0 {
			p.mu.Lock()
			p.seen[e.RoomID] = append(p.seen[e.RoomID], e)
			p.mu.Unlock()
			select {
			case p.news <- struct{}{}:
			default:
			}
		}
		for _, f := range on {
			f(ctx, e)
		}
	})
	return syncer
}

// start runs a sync loop, from where the person's last one ended, until stop is called, which waits for its end.
func (p *person) start(ctx context.Context, syncer mautrix.Syncer) (stop func()) {
	p.Syncer = syncer
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.SyncWithContext(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// longestGap is how many messages of a room may come while a person's gateway is away, without the sync leaving any out.
const longestGap = 1000

// eager is a sync loop that asks again soon where mautrix-go waits for ten seconds.
type eager struct{ *mautrix.DefaultSyncer }

func (e eager) OnFailedSync(res *mautrix.RespSync, err error) (time.Duration, error) {
	wait, err := e.DefaultSyncer.OnFailedSync(res, err)
	return min(wait, 50*time.Millisecond), err
}

// texts are the bodies of the messages seen in a room, in order.
func (p *person) texts(room id.RoomID) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, e := range p.seen[room] {
		if e.Type == event.EventMessage {
			out = append(out, e.Content.AsMessage().Body)
		}
	}
	return out
}

func (p *person) await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for !condition() {
		select {
		case <-p.news:
		case <-deadline.C:
			require.Fail(t, "did not happen", "%s: %s", p.UserID, what)
		}
	}
}

// lengthOfTail is how many messages stand from the first one that a person saw to the end.
func lengthOfTail(p *person, room id.RoomID, order []string) int {
	seen := p.texts(room)
	if len(seen) == 0 {
		return len(order)
	}
	for i, text := range order {
		if text == seen[0] {
			return len(order) - i
		}
	}
	return len(order)
}

// history pages from the beginning of a room to its end.
func history(t *testing.T, p *person, room id.RoomID) []string {
	t.Helper()
	var out []string
	from := ""
	for {
		page, err := p.Messages(t.Context(), room, from, "", mautrix.DirectionForward, nil, 7)
		require.NoError(t, err)
		for _, e := range page.Chunk {
			if e.Type == event.EventMessage {
				require.NoError(t, e.Content.ParseRaw(e.Type))
				out = append(out, e.Content.AsMessage().Body)
			}
		}
		if page.End == "" {
			return out
		}
		from = page.End
	}
}

// said are those of some messages that begin with a prefix.
func said(all []string, prefix string) []string {
	var out []string
	for _, text := range all {
		if strings.HasPrefix(text, prefix) {
			out = append(out, text)
		}
	}
	return out
}
