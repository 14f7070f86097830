package devices

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/zeromicro/go-zero/core/logx"

	keyspb "hongyan/api/keys"
	"hongyan/platform/eventlog"
)

// ApplyKeys applies records of one shard of the log "keys", all up to and including through. Calls for one shard come one
// after the other and in order.
func (n *Node) ApplyKeys(_ context.Context, index int, records []eventlog.Record, through int64) error {
	s := &n.shards[index]
	s.mu.Lock()
	defer s.mu.Unlock()
	var woken []*Device
	for i := range records {
		r := &records[i]
		u := s.users[r.Name]
		if u == nil {
			continue
		}
		id, err := deviceOf(r.Key)
		if err != nil {
			n.deps.Log.Errorw("skip entry of the log of keys", logx.Field("user", r.Name), logx.Field("error", err.Error()))
			continue
		}
		u.mu.Lock()
		for _, d := range u.devices {
			if d.ID == id && d.note(r) {
				woken = append(woken, d)
			}
		}
		u.mu.Unlock()
	}
	s.applied.Store(through)
	for _, d := range woken {
		d.User.mu.Lock()
		d.wake()
		d.User.mu.Unlock()
	}
	n.announce()
	return nil
}

// note takes a record over and tells whether it is news for the device. The user's lock is held.
func (d *Device) note(r *eventlog.Record) bool {
	switch keyspb.EntryKind(r.Kind) {
	case keyspb.EntryKind_ENTRY_KIND_TO_DEVICE:
		d.lastMessage = max(d.lastMessage, r.Position)
	case keyspb.EntryKind_ENTRY_KIND_COUNTS:
		d.changed = max(d.changed, r.Position)
	default:
		return false
	}
	return true
}

// deviceOf returns the device that an entry of the log "keys" is about: its key is a letter, a slash, the escaped device and,
// behind another slash, more.
func deviceOf(key string) (string, error) {
	_, rest, _ := strings.Cut(key, "/")
	escaped, _, _ := strings.Cut(rest, "/")
	id, err := url.PathUnescape(escaped)
	if err != nil {
		return "", fmt.Errorf("key %q: %w", key, err)
	}
	return id, nil
}

// ApplyList applies records of the device-list log, all up to and including through. Calls come one after the other and in
// order; after an error the same records come again.
func (n *Node) ApplyList(ctx context.Context, _ int, records []eventlog.Record, through int64) error {
	n.listTarget.Store(through)
	positions := make(map[string]int64, len(records))
	var changed []string
	var woken []*User
	put := func(userID string, m mark) {
		if u := n.user(userID); u != nil {
			u.mu.Lock()
			u.mark(m)
			u.mu.Unlock()
			woken = append(woken, u)
		}
	}
	for i := range records {
		r := &records[i]
		switch keyspb.EntryKind(r.Kind) {
		case keyspb.EntryKind_ENTRY_KIND_DEVICE_LIST:
			if positions[r.Name] == 0 {
				changed = append(changed, r.Name)
			}
			positions[r.Name] = r.Position
			put(r.Name, mark{r.Position, r.Name, true})
			n.listChanged(r.Name)
		case keyspb.EntryKind_ENTRY_KIND_SIGNED_USER:
			put(r.Name, mark{r.Position, string(r.Body), false})
		}
	}
	if len(changed) > 0 {
		err := n.deps.Peers(ctx, changed, func(userID, of string, now bool) {
			if userID != of {
				put(userID, mark{positions[of], of, now})
			}
		})
		if err != nil {
			return fmt.Errorf("find whom changed device lists concern: %w", err)
		}
	}
	slices.SortFunc(changed, func(a, b string) int { return cmp.Compare(positions[a], positions[b]) })
	for _, userID := range changed {
		n.remember(mark{positions[userID], userID, false})
	}
	n.list.Store(through)
	for _, u := range woken {
		u.mu.Lock()
		u.wakeAll()
		u.mu.Unlock()
	}
	n.announce()
	return nil
}

// listChanged notes that a user has other devices than before: one may have the id of another one that is gone.
func (n *Node) listChanged(userID string) {
	if u := n.user(userID); u != nil {
		u.mu.Lock()
		defer u.mu.Unlock()
		for _, d := range u.devices {
			d.life++
		}
	}
}

// user returns a user in memory, nil if there is none.
func (n *Node) user(id string) *User {
	s := &n.shards[eventlog.ShardOf(id, len(n.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.users[id]
}
