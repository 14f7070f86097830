package store

import (
	"context"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// Report is what a user has reported: a room, an event of it with its sender, or a user.
type Report struct {
	ID, ReceivedMS          int64
	Reporter                string
	RoomID, EventID, UserID string
	Reason                  string
	// Gone tells that the event, or the room, is no longer there.
	Gone bool
}

// AddReport writes a report, and forgets the oldest ones of the same user where these are more than are kept.
func AddReport(r Report, keep int) []eventlog.Statement {
	return []eventlog.Statement{
		{
			SQL:  `INSERT INTO report (received_ms, reporter, room_id, event_id, user_id, reason) VALUES ($1, $2, $3, $4, $5, $6)`,
			Args: []any{r.ReceivedMS, r.Reporter, r.RoomID, r.EventID, r.UserID, r.Reason}, Want: 1,
		},
		{
			SQL: `DELETE FROM report WHERE reporter = $1 AND id <=
				(SELECT id FROM report WHERE reporter = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)`,
			Args: []any{r.Reporter, keep},
		},
	}
}

// Reports reads the reports before an id, the newest first.
func (s *Store) Reports(ctx context.Context, before int64, limit int) ([]Report, error) {
	rows, err := s.db.Query(ctx, `
SELECT p.id, p.received_ms, p.reporter, p.room_id, p.event_id, p.user_id, p.reason,
    CASE WHEN p.room_id <> '' AND r.room IS NULL OR p.event_id <> '' AND v.event_id IS NULL THEN 1 ELSE 0 END
FROM report p LEFT JOIN room r ON r.room_id = p.room_id LEFT JOIN event v ON v.event_id = p.event_id
WHERE p.id < $1 ORDER BY p.id DESC LIMIT $2`, before, limit)
	return collect(rows, err, "read reports", func(rows sqldb.Rows, r *Report) error {
		var gone int64
		err := rows.Scan(&r.ID, &r.ReceivedMS, &r.Reporter, &r.RoomID, &r.EventID, &r.UserID, &r.Reason, &gone)
		r.Gone = gone == 1
		return err
	})
}
