package store

import (
	"context"
	"fmt"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// Listing is a room's place in the directory.
type Listing struct {
	Room   int64
	RoomID string
	Joined int64
	// Published and Type are written with the first row of a room; later ones change Joined alone.
	Published bool
	Type      string
}

var listingTable = eventlog.Table{
	Name: "room_listing", Key: []string{"room"}, Update: []string{"rank"}, Columns: []eventlog.Column{
		{Name: "room", Type: eventlog.Int}, {Name: "room_id", Type: eventlog.Text}, {Name: "rank", Type: eventlog.Int},
		{Name: "published", Type: eventlog.Int}, {Name: "room_type", Type: eventlog.Text},
	},
}

func (l Listing) values() []any { return []any{l.Room, l.RoomID, -l.Joined, bit(l.Published), l.Type} }

// Row is the listing as a row of an append.
func (l Listing) Row() eventlog.Row { return eventlog.Row{Table: tableListing, Values: l.values()} }

// Profile is what may be learned of a room from outside: what it is searched in, and as JSON.
type Profile struct {
	Room   int64
	Search string
	JSON   []byte
}

var profileTable = eventlog.Table{
	Name: "room_profile", Key: []string{"room"}, Update: []string{"search", "profile"}, Columns: []eventlog.Column{
		{Name: "room", Type: eventlog.Int}, {Name: "search", Type: eventlog.Text}, {Name: "profile", Type: eventlog.Bytes},
	},
}

func (p Profile) values() []any { return []any{p.Room, p.Search, p.JSON} }

// Row is the profile as a row of an append.
func (p Profile) Row() eventlog.Row { return eventlog.Row{Table: tableProfile, Values: p.values()} }

// Place is one in the directory: that of a room with so many members.
type Place struct {
	Joined int64
	RoomID string
}

// Search asks for a part of the directory.
type Search struct {
	// After is the place behind which the answer begins; Backward turns round, and has the place's room in it.
	After    Place
	Backward bool
	// Text is what must be found in the rooms, "" for anything.
	Text string
	// Types are the types of the rooms that are wanted, "" for those without; nil means all.
	Types []string
	Limit int
}

// Listed is a room in the directory.
type Listed struct {
	Place
	Profile []byte
}

const searchSQL = `
SELECT l.room_id, l.rank, p.profile
FROM room_listing l JOIN room_profile p ON p.room = l.room
WHERE l.published = 1 AND l.rank < 0 AND (l.rank, l.room_id) %s ($1, $2)
AND ($3 = '' OR strpos(p.search, $3) > 0)                           -- postgres
AND ($3 = '' OR instr(p.search, $3) > 0)                            -- sqlite
AND ($4 = 0 OR l.room_type = ANY($5))                               -- postgres
AND ($4 = 0 OR l.room_type IN (SELECT value FROM json_each($5)))    -- sqlite
ORDER BY %s LIMIT $6`

var (
	searchForwardSQL  = fmt.Sprintf(searchSQL, ">", "l.rank, l.room_id")
	searchBackwardSQL = fmt.Sprintf(searchSQL, "<=", "l.rank DESC, l.room_id DESC")
)

// SearchDirectory reads published rooms that somebody is in, those with the most members first; backward, in the opposite
// order. What it costs grows with the rooms that it has to look at: as many as it returns, where all are wanted.
func (r *Reader) SearchDirectory(ctx context.Context, s Search) ([]Listed, error) {
	sql := searchForwardSQL
	if s.Backward {
		sql = searchBackwardSQL
	}
	rows, err := r.db.Query(ctx, sql, -s.After.Joined, s.After.RoomID, s.Text, bit(s.Types != nil), s.Types, s.Limit)
	return collect(rows, err, "search the directory", func(rows sqldb.Rows, l *Listed) error {
		err := rows.Scan(&l.RoomID, &l.Joined, &l.Profile)
		l.Joined = -l.Joined
		return err
	})
}

// CountDirectory counts the published rooms that somebody is in, up to a limit.
func (s *Store) CountDirectory(ctx context.Context, limit int64) (n int64, err error) {
	err = s.db.QueryRow(ctx, `
SELECT count(*) FROM (SELECT 1 FROM room_listing WHERE published = 1 AND rank < 0 LIMIT $1) l`, limit).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the directory: %w", err)
	}
	return n, nil
}

// RoomProfile is a room's profile as a user comes upon it.
type RoomProfile struct {
	Room       int64
	RoomID     string
	Joined     int64
	Membership string
	Profile    []byte
}

// Profiles reads the profiles of those of the rooms that exist, and what a user is in them.
func (r *Reader) Profiles(ctx context.Context, roomIDs []string, userID string) ([]RoomProfile, error) {
	if len(roomIDs) == 0 {
		return nil, nil
	}
	rows, err := r.db.Query(ctx, `
SELECT r.room, r.room_id, l.rank, p.profile, COALESCE(m.membership, '')
FROM room r JOIN room_listing l ON l.room = r.room JOIN room_profile p ON p.room = r.room
LEFT JOIN membership m ON m.room = r.room AND m.user_id = $2
WHERE r.room_id = ANY($1)                            -- postgres
WHERE r.room_id IN (SELECT value FROM json_each($1)) -- sqlite
`, roomIDs, userID)
	return collect(rows, err, "read profiles of rooms", func(rows sqldb.Rows, p *RoomProfile) error {
		err := rows.Scan(&p.Room, &p.RoomID, &p.Joined, &p.Profile, &p.Membership)
		p.Joined = -p.Joined
		return err
	})
}
