package store

import (
	"context"
	"fmt"
)

// Departure is a user who is deactivated, and when their rooms are to be looked through once more.
type Departure struct {
	UserID string
	DueMs  int64
}

// AddDeparture notes a departure. One that is noted already becomes due no earlier than before.
func (s *Store) AddDeparture(ctx context.Context, d Departure) error {
	_, err := s.db.Exec(ctx, `INSERT INTO departure (user_id, due_ms) VALUES ($1, $2)
		ON CONFLICT (user_id) DO UPDATE SET due_ms = excluded.due_ms WHERE departure.due_ms < excluded.due_ms`,
		d.UserID, d.DueMs)
	if err != nil {
		return fmt.Errorf("note that %s is gone: %w", d.UserID, err)
	}
	return nil
}

// Departures returns up to limit departures that are due, the longest due ones first.
func (s *Store) Departures(ctx context.Context, nowMs int64, limit int) ([]Departure, error) {
	rows, err := s.db.Query(ctx, `SELECT user_id, due_ms FROM departure WHERE due_ms <= $1 ORDER BY due_ms, user_id LIMIT $2`,
		nowMs, limit)
	if err != nil {
		return nil, fmt.Errorf("read who is gone: %w", err)
	}
	defer rows.Close()
	var due []Departure
	for rows.Next() {
		var d Departure
		if err := rows.Scan(&d.UserID, &d.DueMs); err != nil {
			return nil, fmt.Errorf("read who is gone: %w", err)
		}
		due = append(due, d)
	}
	return due, rows.Err()
}

// EndDeparture forgets a departure, unless it has become due later.
func (s *Store) EndDeparture(ctx context.Context, d Departure) error {
	_, err := s.db.Exec(ctx, `DELETE FROM departure WHERE user_id = $1 AND due_ms = $2`, d.UserID, d.DueMs)
	if err != nil {
		return fmt.Errorf("forget that %s is gone: %w", d.UserID, err)
	}
	return nil
}
