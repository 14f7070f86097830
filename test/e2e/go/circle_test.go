//go:build goolm

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// circle is an encrypted room with the devices in it, and everything that was said there.
type circle struct {
	room id.RoomID

	mu sync.Mutex
	// members are the devices that all others know: whatever somebody begins to say, they must understand. silent are those
	// of them that are away.
	members, silent []*device
	said            map[id.EventID]utterance
	// left are devices that were members, with what they had to understand.
	left map[*device][]id.EventID
}

// utterance is a message that was acknowledged.
type utterance struct {
	text string
	// to are the devices that must understand it.
	to []*device
}

func newCircle(room id.RoomID) *circle {
	return &circle{room: room, said: map[id.EventID]utterance{}, left: map[*device][]id.EventID{}}
}

// say has a device say something.
func (c *circle) say(ctx context.Context, d *device, text string) error {
	c.mu.Lock()
	to := slices.Clone(c.members)
	c.mu.Unlock()
	return d.do(func() error {
		answer, err := d.SendText(ctx, c.room, text)
		if err != nil {
			return fmt.Errorf("%s says %s: %w", d.name, text, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if _, twice := c.said[answer.EventID]; twice {
			return fmt.Errorf("%s answers two messages", answer.EventID)
		}
		c.said[answer.EventID] = utterance{text, to}
		return nil
	})
}

// speakers are the devices that are there.
func (c *circle) speakers() []*device {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.members), func(d *device) bool { return slices.Contains(c.silent, d) })
}

// during lets everybody talk while something happens and for a while after it, newcomers too, and until all have understood
// everything that was meant for them.
func (c *circle) during(ctx context.Context, t *testing.T, what string, happens func()) {
	t.Helper()
	begun := time.Now()
	c.talk(ctx, t, what, happens)
	c.talk(ctx, t, "after "+what, func() {})
	for _, d := range c.speakers() {
		c.await(t, d)
	}
	t.Logf("%s: %d messages so far, %s", what, len(c.said), time.Since(begun).Round(time.Millisecond))
}

// talk has every device that is there say something again and again, a few times at least, until something has happened.
func (c *circle) talk(ctx context.Context, t *testing.T, what string, happens func()) {
	t.Helper()
	const times, pause = 3, 30 * time.Millisecond
	over := make(chan struct{})
	speakers := c.speakers()
	failures := make([]error, len(speakers))
	var talk sync.WaitGroup
	for n, d := range speakers {
		talk.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					if i >= times {
						return
					}
				default:
				}
				c.mu.Lock()
				gone := !slices.Contains(c.members, d) || slices.Contains(c.silent, d)
				c.mu.Unlock()
				if gone {
					return
				}
				if failures[n] = c.say(ctx, d, fmt.Sprintf("%s, %d, %s", d.name, i, what)); failures[n] != nil {
					return
				}
				time.Sleep(pause)
			}
		})
	}
	defer talk.Wait()
	func() {
		defer close(over) // also where a requirement ends the test
		happens()
	}()
	talk.Wait()
	require.NoError(t, errors.Join(failures...))
}

// enter waits until all know of new devices, and they of all, and makes them members.
func (c *circle) enter(t *testing.T, newcomers ...*device) {
	t.Helper()
	c.mu.Lock()
	all := append(slices.Clone(c.members), newcomers...)
	c.mu.Unlock()
	c.acquaint(t, all)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = all
}

// acquaint waits until all that are there know who there is.
func (c *circle) acquaint(t *testing.T, all []*device) {
	t.Helper()
	want := map[id.UserID][]id.DeviceID{}
	for _, d := range all {
		want[d.UserID] = append(want[d.UserID], d.DeviceID)
		slices.Sort(want[d.UserID])
	}
	for _, d := range all {
		if !slices.Contains(c.silent, d) {
			until(t, fmt.Sprintf("%s knows that there are %v", d.name, want), func() bool { return d.knows(t.Context(), c.room, want) })
		}
	}
}

// part says goodbye to devices once they have understood all that they had to. go ends them, and all others must notice.
func (c *circle) part(t *testing.T, end func(), leavers ...*device) {
	t.Helper()
	c.mu.Lock()
	c.members = slices.DeleteFunc(slices.Clone(c.members), func(d *device) bool { return slices.Contains(leavers, d) })
	all := c.members
	c.mu.Unlock()
	for _, d := range leavers {
		d.turn.Lock() // what it says now, it says to the end
		owed := c.owed(d)
		d.turn.Unlock()
		c.await(t, d)
		c.left[d] = owed
	}
	end()
	c.acquaint(t, all)
}

// quiet takes devices offline, back brings them back.
func (c *circle) quiet(devices ...*device) {
	c.mu.Lock()
	c.silent = devices
	c.mu.Unlock()
	for _, d := range devices {
		d.turn.Lock()   // what it says now, it says to the end
		d.turn.Unlock() //nolint:staticcheck // nothing to do in between
		d.offline()
	}
}

func (c *circle) back(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, d := range c.silent {
		d.online(ctx)
	}
	c.mu.Lock()
	c.silent = nil
	all := c.members
	c.mu.Unlock()
	c.acquaint(t, all)
}

// owed are the messages that a device must understand.
func (c *circle) owed(d *device) []id.EventID {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []id.EventID
	for event, u := range c.said {
		if slices.Contains(u.to, d) {
			all = append(all, event)
		}
	}
	return all
}

// await waits until a device has seen all that it must understand by now.
func (c *circle) await(t *testing.T, d *device) {
	t.Helper()
	owed := c.owed(d)
	until(t, d.name+" sees everything", func() bool {
		order, garbled := d.heard(c.room)
		seen := map[id.EventID]bool{}
		for _, e := range order {
			seen[e] = true
		}
		return !slices.ContainsFunc(owed, func(e id.EventID) bool { _, bad := garbled[e]; return !seen[e] && !bad })
	})
	c.check(t, d, owed)
}

// check wants a device to have understood what it must.
func (c *circle) check(t *testing.T, d *device, owed []id.EventID) {
	t.Helper()
	order, garbled := d.heard(c.room)
	for _, e := range owed {
		c.mu.Lock()
		text := c.said[e].text
		c.mu.Unlock()
		require.NotContains(t, garbled, e, "%s does not understand %q", d.name, text)
		require.Contains(t, order, e, "%s did not get %q", d.name, text)
	}
}

// account wants that the room's history holds what was acknowledged, once, and that all have seen it in that order, on each
// visit anew.
func (c *circle) account(t *testing.T) {
	t.Helper()
	history := utterances(t, c.members[0], c.room)
	c.mu.Lock()
	defer c.mu.Unlock()
	require.ElementsMatch(t, slices.Collect(maps.Keys(c.said)), history)
	place := map[id.EventID]int{}
	for i, e := range history {
		place[e] = i
	}
	for _, d := range slices.Concat(c.members, slices.Collect(maps.Keys(c.left))) {
		last := -1
		d.mu.Lock()
		for i, e := range d.seen[c.room] {
			if slices.Contains(d.visits[c.room], i) {
				last = -1
			}
			if e.Type != event.EventMessage {
				continue
			}
			at, known := place[e.ID]
			require.True(t, known, "%s saw %s, which the history does not have", d.name, e.ID)
			require.Greater(t, at, last, "%s sees the messages in the order of the history, each once", d.name)
			require.Equal(t, c.said[e.ID].text, e.Content.AsMessage().Body)
			last = at
		}
		d.mu.Unlock()
	}
}
