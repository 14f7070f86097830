package room

import (
	"context"
	"time"

	roompb "hongyan/api/room"
	"hongyan/matrix/event"
	"hongyan/platform/eventlog"
	"hongyan/service/room/internal/store"
)

// RunWith is Run with what writes the log.
func (s *Service) RunWith(ctx context.Context, writeLog func(context.Context) error) error {
	return s.run(ctx, writeLog)
}

// Perspective is perspective for tests.
type Perspective struct{ *perspective }

// NewPerspective makes one from visibilities and memberships by sequence number.
func NewPerspective(head int64, visibility map[int64]event.HistoryVisibility, membership map[int64]event.Membership) Perspective {
	v := track[event.HistoryVisibility]{initial: event.VisibilityShared}
	m := track[event.Membership]{initial: event.Leave}
	for seq := int64(1); seq <= head+2; seq++ {
		if value, ok := visibility[seq]; ok {
			v = v.extend(seq, value)
		}
		if value, ok := membership[seq]; ok {
			m = m.extend(seq, value)
		}
	}
	return Perspective{newPerspective(head, v, m)}
}

// Sees is sees.
func (p Perspective) Sees(seq int64) bool { return p.sees(seq) }

// Backward and Forward return all visible sequence numbers in (after, through], by walking the spans.
func (p Perspective) Backward(after, through int64) (seqs []int64) {
	for {
		s, ok := p.spanBackward(after, through)
		if !ok {
			return seqs
		}
		for seq := s.last; seq >= s.first; seq-- {
			seqs = append(seqs, seq)
		}
		through = s.first - 1
	}
}

// Forward is Backward from the other end.
func (p Perspective) Forward(after, through int64) (seqs []int64) {
	for {
		s, ok := p.spanForward(after, through)
		if !ok {
			return seqs
		}
		for seq := s.first; seq <= s.last; seq++ {
			seqs = append(seqs, seq)
		}
		after = s.last
	}
}

// Expire removes the events of all rooms whose lifetime has passed.
func (s *Service) Expire(ctx context.Context) error { return s.expire(ctx) }

// TellLate tells followers of a purge of a room, as one does that has looked at the room before.
func (s *Service) TellLate(ctx context.Context, stream int64, roomID string) error {
	room := store.Expiring{Room: stream, RoomID: roomID, Shard: eventlog.ShardOf(roomID, s.log.Shards())}
	return s.tell(ctx, room, purgeKey, &roompb.Purged{BeforeMs: 1, BeforeSeq: 2}, store.Tell(stream, store.Purged{Removals: 1}))
}

// LifetimeOf is how long a room whose m.room.retention has a content keeps its messages; 0 is for ever.
func (r Retention) LifetimeOf(content string) time.Duration {
	return r.lifetime(parsePolicy([]byte(`{"content":` + content + `}`)))
}
