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
	for {
		rooms, err := s.Unprofiled(ctx, profileTypes, fillRooms)
		if err != nil {
			return err
		}
		for _, r := range rooms {
			if err := fillProfile(ctx, s, r); err != nil {
				return fmt.Errorf("profile of room %s: %w", r.RoomID, err)
			}
		}
		if len(rooms) < fillRooms {
			return nil
		}
	}
}

func fillProfile(ctx context.Context, s *store.Store, r store.Unprofiled) error {
	version := event.RoomVersion(r.Version)
	events := make(map[string]*event.Event, len(r.State))
	for _, row := range r.State {
		e, err := event.ParseWithID(version, matrix.EventID(row.EventID), row.JSON)
		if err != nil {
			return err
		}
		events[row.Type] = e
	}
	p := profileOf(version, func(typ string) *event.Event { return events[typ] })
	row, err := p.row(r.Room)
	if err != nil {
		return err
	}
	r.Type = listedType(p.Type)
	return s.AddProfile(ctx, r.Listing, row)
}
