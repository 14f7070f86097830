package room

import (
	"context"
	"fmt"

	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/service/room/internal/store"
)

// fillRooms is how many rooms get their profiles at once.
const fillRooms = 200

// fillProfiles gives the rooms of an older database their profiles. Instances that do so at once do no harm: what is
// there already, also by an append, stays.
func fillProfiles(ctx context.Context, s *store.Store) error {
	for after := int64(0); ; {
		rooms, err := s.Unprofiled(ctx, profileTypes, after, fillRooms)
		if err != nil || len(rooms) == 0 {
			return err
		}
		filled := make([]store.Profiled, len(rooms))
		for i, r := range rooms {
			if filled[i], err = newProfile(r); err != nil {
				return fmt.Errorf("profile of room %s: %w", r.RoomID, err)
			}
		}
		if err := s.AddProfiles(ctx, filled); err != nil {
			return err
		}
		after = rooms[len(rooms)-1].Room
	}
}

func newProfile(r store.Unprofiled) (store.Profiled, error) {
	version := event.RoomVersion(r.Version)
	events := make(map[string]*event.Event, len(r.State))
	for _, row := range r.State {
		e, err := event.ParseWithID(version, matrix.EventID(row.EventID), row.JSON)
		if err != nil {
			return store.Profiled{}, err
		}
		events[row.Type] = e
	}
	p := profileOf(version, func(typ string) *event.Event { return events[typ] })
	row, err := p.row(r.Room)
	r.Type = listedType(p.Type)
	return store.Profiled{Listing: r.Listing, Profile: row}, err
}
