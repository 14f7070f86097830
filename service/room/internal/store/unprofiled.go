package store

import (
	"context"
	"fmt"

	"hongyan/platform/sqldb"
)

// Unprofiled is a room that was written before there were profiles.
type Unprofiled struct {
	Listing
	Version string
	// State are its current events of the types that were asked for, with an empty state key.
	State []StateRow
}

// Unprofiled reads rooms that have no profile, up to a limit, after a room, in their order.
func (s *Store) Unprofiled(ctx context.Context, types []string, after int64, limit int) ([]Unprofiled, error) {
	var found []Unprofiled
	err := s.db.View(ctx, func(ctx context.Context, q sqldb.Querier) error {
		rows, err := q.Query(ctx, `
SELECT r.room, r.room_id, r.version, r.visibility,
    (SELECT count(*) FROM membership m WHERE m.room = r.room AND m.membership = 'join')
FROM room r WHERE r.room > $1 AND NOT EXISTS (SELECT 1 FROM room_profile p WHERE p.room = r.room)
ORDER BY r.room LIMIT $2`, after, limit)
		found, err = collect(rows, err, "read rooms without profiles", func(rows sqldb.Rows, u *Unprofiled) error {
			var visibility string
			err := rows.Scan(&u.Room, &u.RoomID, &u.Version, &visibility, &u.Joined)
			u.Published = visibility == "public"
			return err
		})
		if err != nil || len(found) == 0 {
			return err
		}
		return readStates(ctx, q, found, types)
	})
	return found, err
}

// readStates fills in the states.
func readStates(ctx context.Context, q sqldb.Querier, found []Unprofiled, types []string) error {
	ids, index := make([]int64, len(found)), make(map[int64]*Unprofiled, len(found))
	for i := range found {
		ids[i], index[found[i].Room] = found[i].Room, &found[i]
	}
	rows, err := q.Query(ctx, `
SELECT c.room, c.type, c.event_id, c.seq, v.json FROM state_current c JOIN event v ON v.event_id = c.event_id
WHERE c.state_key = '' AND c.room = ANY($1) AND c.type = ANY($2)                                                              -- postgres
WHERE c.state_key = '' AND c.room IN (SELECT value FROM json_each($1)) AND c.type IN (SELECT value FROM json_each($2)) -- sqlite
`, ids, types)
	type roomState struct {
		room int64
		StateRow
	}
	all, err := collect(rows, err, "read states of rooms without profiles", func(rows sqldb.Rows, r *roomState) error {
		return rows.Scan(&r.room, &r.Type, &r.EventID, &r.Seq, &r.JSON)
	})
	for _, r := range all {
		index[r.room].State = append(index[r.room].State, r.StateRow)
	}
	return err
}

// Profiled is a room with what it lacked.
type Profiled struct {
	Listing
	Profile
}

// AddProfiles gives rooms profiles and listings, unless they have got them meanwhile: those are newer.
func (s *Store) AddProfiles(ctx context.Context, rooms []Profiled) error {
	err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		for _, r := range rooms {
			_, err := tx.Exec(ctx, `INSERT INTO room_listing (room, room_id, rank, published, room_type)
				VALUES ($1, $2, $3, $4, $5) ON CONFLICT (room) DO NOTHING`, r.Listing.values()...)
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `INSERT INTO room_profile (room, search, profile) VALUES ($1, $2, $3)
				ON CONFLICT (room) DO NOTHING`, r.Profile.values()...)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("add profiles of rooms: %w", err)
	}
	return nil
}
