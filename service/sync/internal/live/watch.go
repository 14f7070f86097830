package live

import (
	"slices"

	roompb "hongyan/api/room"
	"hongyan/platform/eventlog"
)

// Watch is told when a room has a new event, whoever is in it: what somebody waits for who looks into a room from outside.
type Watch struct {
	// C receives after news; one message may stand for much news.
	C chan struct{}

	shard *shard
	room  string
}

// Watch registers a watch of a room, which must be closed. It misses nothing that is applied after Watch returned. It is for a
// node that is ready.
func (n *Node) Watch(roomID string) *Watch {
	s := &n.shards[eventlog.ShardOf(roomID, len(n.shards))]
	w := &Watch{C: make(chan struct{}, 1), shard: s, room: roomID}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watches == nil {
		s.watches = map[string][]*Watch{}
	}
	s.watches[roomID] = append(s.watches[roomID], w)
	return w
}

// Close unregisters the watch.
func (w *Watch) Close() {
	w.shard.mu.Lock()
	defer w.shard.mu.Unlock()
	left := slices.DeleteFunc(w.shard.watches[w.room], func(other *Watch) bool { return other == w })
	if len(left) == 0 {
		delete(w.shard.watches, w.room)
		return
	}
	w.shard.watches[w.room] = left
}

// tellWatches tells who watches the rooms of new events. The shard's lock is held.
func (s *shard) tellWatches(records []eventlog.Record) {
	if len(s.watches) == 0 {
		return
	}
	for i := range records {
		if records[i].Kind != eventlog.Kind(roompb.EntryKind_ENTRY_KIND_EVENT) {
			continue
		}
		for _, w := range s.watches[records[i].Name] {
			select {
			case w.C <- struct{}{}:
			default:
			}
		}
	}
}
