package sync

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	syncpb "hongyan/api/sync"
	"hongyan/service/sync/internal/live"
	"hongyan/service/sync/internal/userlog"
)

const (
	// checkpointEvery is after how many events of a room a user's count there is stored anew, and from how many on it is
	// worth to look for a stored one.
	checkpointEvery = 1024
	// maxCheckpoint is how many threads and events a stored count names one by one.
	maxCheckpoint = 4096
	// checkpointWindow is how long counts gather that are to be stored; maxCheckpoints bounds them.
	checkpointWindow = 2 * time.Second
	maxCheckpoints   = 4096
	// checkpointTimeout bounds writing them.
	checkpointTimeout = 10 * time.Second
)

// checkpoints stores counts of unread events from time to time, so that who comes back after long, or to another node,
// need not have all of a room counted anew. What is lost of them costs time and nothing else.
type checkpoints struct {
	users *userlog.Store

	mu      sync.Mutex
	waiting map[userlog.Place]*syncpb.UnreadCheckpoint
	wake    chan struct{}
}

func newCheckpoints(users *userlog.Store) *checkpoints {
	return &checkpoints{users: users, waiting: map[userlog.Place]*syncpb.UnreadCheckpoint{}, wake: make(chan struct{}, 1)}
}

// save lets a counter be stored if it has come far since the last time. Whoever works with the counter calls it.
func (s *checkpoints) save(userID, roomID string, n *counter) {
	if n.through-n.saved < checkpointEvery {
		return
	}
	n.saved = n.through
	c, ok := n.checkpoint()
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := userlog.Place{UserID: userID, RoomID: roomID}
	if _, ok := s.waiting[at]; !ok && len(s.waiting) >= maxCheckpoints {
		return
	}
	s.waiting[at] = c
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run stores what gathers until the context ends, and then what is left.
func (s *checkpoints) run(ctx context.Context) {
	working := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		select {
		case <-s.wake:
		case <-ctx.Done():
		}
		select {
		case <-time.After(checkpointWindow):
		case <-ctx.Done():
		}
		s.flush(working)
	}
}

func (s *checkpoints) flush(ctx context.Context) {
	s.mu.Lock()
	all := s.waiting
	s.waiting = map[userlog.Place]*syncpb.UnreadCheckpoint{}
	s.mu.Unlock()
	if len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkpointTimeout)
	defer cancel()
	if err := s.users.PutCheckpoints(ctx, all); err != nil {
		logx.WithContext(ctx).Infof("store counts of unread events, they will be counted anew: %v", err)
	}
}

// checkpoint is the counter as it is stored; ok is false where it is too large for that.
func (n *counter) checkpoint() (c *syncpb.UnreadCheckpoint, ok bool) {
	c = &syncpb.UnreadCheckpoint{
		Basis: n.preferences.basis[:], Name: n.name, Named: n.nameSeq != 0, Joined: n.joined, Through: n.through,
	}
	size := 0
	for thread, t := range n.threads {
		if size += 1 + len(t.items); size > maxCheckpoint {
			return nil, false
		}
		out := &syncpb.UnreadThread{
			Thread: thread, Notify: t.older.notify, Highlight: t.older.highlight, First: t.first, Last: t.last,
		}
		for _, i := range t.items {
			if i.highlight {
				out.Highlights = append(out.Highlights, i.seq)
			} else {
				out.Seqs = append(out.Seqs, i.seq)
			}
		}
		c.Threads = append(c.Threads, out)
	}
	return c, true
}

// restore lets a counter that has seen nothing go on from a stored one, if there is one that was judged as this one is.
func (a *answer) restore(ctx context.Context, c *live.Change, n *counter) error {
	if c.LoadedSeq-n.through < checkpointEvery {
		return nil
	}
	stored, err := a.s.users.Checkpoint(ctx, userlog.Place{UserID: a.r.user, RoomID: c.RoomID})
	if err != nil {
		return unavailable(err)
	}
	if stored == nil || stored.Joined != n.joined || stored.Through <= n.through || !bytes.Equal(stored.Basis, n.preferences.basis[:]) {
		return nil
	}
	if stored.Named {
		if err := a.readName(ctx, c, n); err != nil {
			return err
		}
		if n.name != stored.Name {
			return nil
		}
	}
	n.through, n.saved = stored.Through, stored.Through
	for _, t := range stored.Threads {
		n.threads[t.Thread] = tallyOf(t)
		n.cut(t.Thread)
	}
	n.purge(c.LoadedPurged)
	return nil
}

func tallyOf(stored *syncpb.UnreadThread) *tally {
	t := &tally{older: counts{stored.Notify, stored.Highlight}, first: stored.First, last: stored.Last}
	for _, seq := range stored.Seqs {
		t.items = append(t.items, unreadItem{seq, false})
	}
	for _, seq := range stored.Highlights {
		t.items = append(t.items, unreadItem{seq, true})
	}
	slices.SortFunc(t.items, func(a, b unreadItem) int { return int(a.seq - b.seq) })
	return t
}
