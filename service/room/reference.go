package room

import (
	"context"
	"fmt"

	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/service/room/internal/lru"
)

// referenceCacheBytes is memory for the reference hashes of some 20,000 events: those that the next events of rooms of
// versions 1 and 2 name.
const referenceCacheBytes = 4 << 20

func newReferences() *lru.Cache[matrix.EventID, string] {
	return lru.New(referenceCacheBytes, func(id matrix.EventID, hash string) int64 {
		return int64(len(id)+len(hash)) + 160
	})
}

// reference gives an event of a version with OwnEventIDs its id, and the hashes of the events that it names.
func (w *working) reference(ctx context.Context, p *event.Proto) error {
	id, err := randomID(w.s.deps.Rand, '$', w.s.server)
	if err != nil {
		return matrix.Internal(err)
	}
	p.EventID = matrix.EventID(id)
	p.ReferenceHashes = make(map[matrix.EventID]string, len(p.PrevEvents)+len(p.AuthEvents))
	for _, list := range [...][]matrix.EventID{p.PrevEvents, p.AuthEvents} {
		for _, id := range list {
			if p.ReferenceHashes[id], err = w.referenceHash(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// referenceHash is the hash by which events name one of the room's. It never changes, so it is remembered.
func (w *working) referenceHash(ctx context.Context, id matrix.EventID) (string, error) {
	if hash, ok := w.s.references.Get(id); ok {
		return hash, nil
	}
	named, err := w.namedEvent(ctx, id)
	if err != nil {
		return "", err
	}
	return w.remember(named)
}

// remember keeps the reference hash of an event.
func (w *working) remember(ev *event.Event) (string, error) {
	hash, err := ev.ReferenceHash()
	if err != nil {
		return "", matrix.Internal(fmt.Errorf("event %s of room %s: %w", ev.ID(), w.roomID, err))
	}
	w.s.references.Put(ev.ID(), hash)
	return hash, nil
}

func (w *working) namedEvent(ctx context.Context, id matrix.EventID) (*event.Event, error) {
	if a := w.find(id); a != nil {
		return a.event, nil
	}
	stored, ok, err := w.s.store.Event(ctx, w.base.stream.ID, string(id))
	if err != nil {
		return nil, matrix.Unavailable(err)
	}
	if !ok {
		return nil, matrix.Internal(fmt.Errorf("event %s of room %s is not in the database", id, w.roomID))
	}
	ev, err := event.ParseWithID(w.rules.Version, id, stored.JSON)
	if err != nil {
		return nil, matrix.Internal(err)
	}
	return ev, nil
}
