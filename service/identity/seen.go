package identity

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"hongyan/service/identity/internal/store"
)

// maxSightings bounds the devices of which it is not yet stored when they were seen; seenBatch a transaction.
const (
	maxSightings = 100_000
	seenBatch    = 256
)

// sightings collects when devices were last seen, so that requests do not write.
type sightings struct {
	mu sync.Mutex
	by map[deviceKey]store.Seen
}

type deviceKey struct{ userID, deviceID string }

func newSightings() *sightings { return &sightings{by: map[deviceKey]store.Seen{}} }

func (g *sightings) note(x store.Seen) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := deviceKey{x.UserID, x.DeviceID}
	old, ok := g.by[key]
	if !ok && len(g.by) >= maxSightings || ok && old.Ms > x.Ms {
		return
	}
	if x.IP == "" {
		x.IP = old.IP
	}
	g.by[key] = x
}

// of returns a device as it is known now, given what is stored of it.
func (g *sightings) of(d store.Device) store.Device {
	g.mu.Lock()
	defer g.mu.Unlock()
	if x, ok := g.by[deviceKey{d.UserID, d.DeviceID}]; ok && x.Ms > d.LastSeenMs {
		d.LastSeenMs = x.Ms
		if x.IP != "" {
			d.LastSeenIP = x.IP
		}
	}
	return d
}

func (g *sightings) take() []store.Seen {
	g.mu.Lock()
	all := slices.Collect(maps.Values(g.by))
	g.by = map[deviceKey]store.Seen{}
	g.mu.Unlock()
	slices.SortFunc(all, func(a, b store.Seen) int {
		return cmp.Or(cmp.Compare(a.UserID, b.UserID), cmp.Compare(a.DeviceID, b.DeviceID))
	})
	return all
}

// storeSeen writes what was collected. What cannot be written is collected again.
func (s *Service) storeSeen(ctx context.Context) error {
	all := s.seen.take()
	for batch := range slices.Chunk(all, seenBatch) {
		if err := s.store.SetSeen(ctx, batch); err != nil {
			for _, x := range all {
				s.seen.note(x)
			}
			return err
		}
	}
	return nil
}
