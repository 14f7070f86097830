package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/sqldb"
)

// Counts are the keys of a device that others may still claim.
type Counts struct {
	// OneTime is how many one-time keys are left, by algorithm.
	OneTime map[string]int64
	// UnusedFallback are the algorithms of fallback keys that were not handed out yet, sorted.
	UnusedFallback []string
}

// Counts reads the counts of a device, with one query.
func (s *Store) Counts(ctx context.Context, q sqldb.Querier, userID, deviceID string) (Counts, error) {
	type row struct {
		algorithm string
		n         int64
	}
	scan := func(r sqldb.Rows) (x row, err error) {
		err = r.Scan(&x.algorithm, &x.n)
		return x, err
	}
	rows, err := collect(ctx, q, scan, `
		SELECT algorithm, count(*) FROM one_time_key WHERE user_id = $1 AND device_id = $2 GROUP BY algorithm
		UNION ALL
		SELECT algorithm, 0 FROM fallback_key WHERE user_id = $1 AND device_id = $2 AND NOT used
		ORDER BY algorithm`, userID, deviceID)
	if err != nil {
		return Counts{}, fmt.Errorf("count keys of a device: %w", err)
	}
	counts := Counts{OneTime: map[string]int64{}}
	for _, r := range rows {
		if r.n > 0 {
			counts.OneTime[r.algorithm] = r.n
		} else {
			counts.UnusedFallback = append(counts.UnusedFallback, r.algorithm)
		}
	}
	return counts, nil
}

// CountsChanged returns where in the log the counts of a device changed last, 0 for never.
func (s *Store) CountsChanged(ctx context.Context, userID, deviceID string) (position int64, err error) {
	err = s.db.QueryRow(ctx, `SELECT position FROM keys_latest
		WHERE stream = (SELECT stream FROM keys_stream WHERE name = $1) AND key = $2`, userID, CountsKey(deviceID)).Scan(&position)
	if err != nil && !errors.Is(err, sqldb.ErrNoRows) {
		return 0, fmt.Errorf("read where counts changed: %w", err)
	}
	return position, nil
}
