package store

import (
	"context"
	"fmt"

	"hongyan/platform/sqldb"
)

// Change says where in the device-list log a user changed last.
type Change struct {
	UserID   string
	Position int64
}

// Range says which changes of device lists are wanted.
type Range struct {
	// After is exclusive, Through inclusive; Through 0 is without end.
	After, Through int64
	// Users limits the answer to these; empty is everybody.
	Users []string
	// Viewer adds those of whose keys this user has uploaded signatures; "" for none.
	Viewer string
	// Limit is the most users to give.
	Limit int
}

// Changes returns whose device lists changed in a range, in the order of their positions. A user who has changed again after
// the range is missing.
func (s *Store) Changes(ctx context.Context, r Range) ([]Change, error) {
	scan := func(r sqldb.Rows) (c Change, err error) {
		err = r.Scan(&c.UserID, &c.Position)
		return c, err
	}
	users := r.Users
	if users == nil {
		users = []string{}
	}
	found, err := collect(ctx, s.db, scan, `SELECT name, max(position) AS last FROM (
			SELECT s.name AS name, l.position AS position
				FROM device_list_latest l JOIN device_list_stream s ON s.stream = l.stream
				WHERE l.shard = 0 AND l.position > $1 AND ($2 = 0 OR l.position <= $2) AND l.key = 'u'
			UNION ALL
			SELECT substr(l.key, 3), l.position
				FROM device_list_stream s JOIN device_list_latest l ON l.stream = s.stream
				WHERE s.name = $3 AND l.position > $1 AND ($2 = 0 OR l.position <= $2) AND l.key >= 's/' AND l.key < 's0'
		) changes
		WHERE ($4 OR name IN (SELECT unnest($5::text[])))       -- postgres
		WHERE ($4 OR name IN (SELECT value FROM json_each($5))) -- sqlite
		GROUP BY name ORDER BY last LIMIT $6`,
		r.After, r.Through, r.Viewer, len(users) == 0, users, r.Limit)
	if err != nil {
		return nil, fmt.Errorf("read changed device lists: %w", err)
	}
	return found, nil
}
