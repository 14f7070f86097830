package sync

import (
	"github.com/prometheus/client_golang/prometheus"

	"hongyan/platform/obs"
)

// registerState registers what is read of the service when somebody asks for it.
func (s *Service) registerState(reg prometheus.Registerer) {
	gauge := func(name, help string, read func() int64) {
		obs.Gauge(reg, name, help, func() float64 { return float64(read()) })
	}
	gauge("hongyan_sync_users", "Users in memory.", func() int64 { return int64(s.node().Stats().Users) })
	gauge("hongyan_sync_rooms", "Rooms in memory, of which somebody in memory is a member.", func() int64 { return int64(s.node().Stats().Rooms) })
	gauge("hongyan_sync_ring_bytes", "Memory of the newest events of all rooms, in bytes.", func() int64 { return s.node().Stats().RingBytes })
	gauge("hongyan_sync_ring_bytes_max", "Memory that the newest events may take, in bytes.", func() int64 { return s.cfg.Live.RingBytes })
	gauge("hongyan_sync_note_bytes", "Memory of what unread events of the past are counted by, in bytes.", func() int64 { return s.node().Stats().NoteBytes })
	gauge("hongyan_sync_note_bytes_max", "Memory that these may take, in bytes.", func() int64 { return s.cfg.Live.NoteBytes })
	gauge("hongyan_sync_parked_polls", "Polls that wait for news.", func() int64 { return int64(s.drain.waiting()) })
	gauge("hongyan_sync_loads", "Users who are being loaded.", func() int64 { return s.node().Stats().Loading })
	gauge("hongyan_sync_loads_waiting", "Users who wait to be loaded.", func() int64 { return s.node().Stats().LoadsWaiting })
	gauge("hongyan_sync_large_answers", "Large answers that are being put together.", func() int64 { return int64(len(s.turns.all)) })
	gauge("hongyan_sync_large_answers_max", "Large answers that may be put together at once.", func() int64 { return int64(cap(s.turns.all)) })
	gauge("hongyan_sync_large_answers_waiting", "Requests that wait for their turn to put a large answer together.", s.turns.waiting.Load)
	gauge("hongyan_sync_unwritten_bytes", "Large answers that wait for their clients to read them, in bytes.", s.turns.unwrittenBytes)
	gauge("hongyan_sync_room_reads", "Rooms that are being read from further back.", func() int64 { return int64(len(s.reads)) })
	gauge("hongyan_sync_room_reads_max", "Rooms that may be read from further back at once.", func() int64 { return int64(cap(s.reads)) })
}
