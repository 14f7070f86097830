package eventlog

import (
	"context"
	"fmt"
	"io/fs"

	"hongyan/platform/sqldb"
)

// Cursors are how far followers have come, kept in the follower's own database in the table NAME_cursor. When a follower
// advances its cursor in the transaction of what it does, it does it once; otherwise its steps must be idempotent.
type Cursors struct {
	db                            *sqldb.DB
	load, set, begin, move, reset string
}

// OpenCursors makes the table where it is missing.
func OpenCursors(ctx context.Context, db *sqldb.DB, name string) (*Cursors, error) {
	if !identifier.MatchString(name) {
		return nil, fmt.Errorf("cursors %q: want a lower-case identifier", name)
	}
	files, err := fs.Sub(migrations, "migrations/cursor")
	if err != nil {
		return nil, err
	}
	err = db.Migrate(ctx, sqldb.Migration{Name: name + "_cursor", Files: files, Replace: []string{"{cursor}", name + "_cursor"}})
	if err != nil {
		return nil, fmt.Errorf("open cursors %s: %w", name, err)
	}
	return &Cursors{
		db:   db,
		load: `SELECT shard, position, epoch FROM ` + name + `_cursor WHERE follower = $1`,
		// A cursor only moves forward, but for another epoch.
		set: `INSERT INTO ` + name + `_cursor AS c (follower, shard, position, epoch) VALUES ($1, $2, $3, $4)
			ON CONFLICT (follower, shard) DO UPDATE SET position = excluded.position, epoch = excluded.epoch
			WHERE c.epoch <> excluded.epoch OR c.position < excluded.position`,
		begin: `INSERT INTO ` + name + `_cursor AS c (follower, shard, position, epoch) VALUES ($1, $2, $3, $4)
			ON CONFLICT (follower, shard) DO UPDATE SET position = excluded.position
			WHERE c.position = 0 AND c.epoch = excluded.epoch`,
		move: `UPDATE ` + name + `_cursor SET position = $3
			WHERE follower = $1 AND shard = $2 AND epoch = $4 AND position = $5`,
		reset: `DELETE FROM ` + name + `_cursor WHERE follower = $1`,
	}, nil
}

// Load returns where a follower stands, as FollowConfig.From wants it: shards that it has not reached are at 0, and the
// epoch is 0 when it has reached none.
func (c *Cursors) Load(ctx context.Context, follower string, shards int) (Heads, error) {
	h := Heads{Shard: make([]int64, shards)}
	rows, err := c.db.Query(ctx, c.load, follower)
	if err != nil {
		return Heads{}, fmt.Errorf("load cursors of %s: %w", follower, err)
	}
	defer rows.Close()
	for rows.Next() {
		var shard int
		var position, epoch int64
		if err := rows.Scan(&shard, &position, &epoch); err != nil {
			return Heads{}, fmt.Errorf("load cursors of %s: %w", follower, err)
		}
		if shard < 0 || shard >= shards || h.Epoch != 0 && h.Epoch != uint64(epoch) {
			return Heads{}, fmt.Errorf("load cursors of %s: shard %d: %w", follower, shard, ErrEpochChanged)
		}
		h.Epoch, h.Shard[shard] = uint64(epoch), position
	}
	if err := rows.Err(); err != nil {
		return Heads{}, fmt.Errorf("load cursors of %s: %w", follower, err)
	}
	return h, nil
}

// Advance moves a cursor within a transaction of the follower's.
func (c *Cursors) Advance(ctx context.Context, tx sqldb.Tx, follower string, epoch uint64, shard int, position int64) error {
	if _, err := tx.Exec(ctx, c.set, follower, shard, position, int64(epoch)); err != nil {
		return fmt.Errorf("advance cursor of %s: %w", follower, err)
	}
	return nil
}

// AdvanceFrom is Advance for a follower that must be the only one to go from one position, 0 for the beginning, to the other: it
// fails with ErrConflict where the cursor is elsewhere. What the transaction does is then done exactly once.
func (c *Cursors) AdvanceFrom(ctx context.Context, tx sqldb.Tx, follower string, epoch uint64, shard int, from, to int64) error {
	statement, args := c.move, []any{follower, shard, to, int64(epoch), from}
	if from == 0 {
		statement, args = c.begin, args[:4]
	}
	n, err := tx.Exec(ctx, statement, args...)
	if err == nil && n != 1 {
		err = fmt.Errorf("%w: shard %d is not at %d", ErrConflict, shard, from)
	}
	if err != nil {
		return fmt.Errorf("advance cursor of %s: %w", follower, err)
	}
	return nil
}

// Write runs a transaction in which cursors are moved.
func (c *Cursors) Write(ctx context.Context, do func(context.Context, sqldb.Tx) error) error {
	return c.db.Write(ctx, do)
}

// Set moves a cursor in a transaction of its own.
func (c *Cursors) Set(ctx context.Context, follower string, epoch uint64, shard int, position int64) error {
	return c.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		return c.Advance(ctx, tx, follower, epoch, shard, position)
	})
}

// Begin sets the cursors of a follower that has none: all of them, or none.
func (c *Cursors) Begin(ctx context.Context, follower string, at Heads) error {
	return c.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		for shard, position := range at.Shard {
			if err := c.Advance(ctx, tx, follower, at.Epoch, shard, position); err != nil {
				return err
			}
		}
		return nil
	})
}

// Reset forgets a follower's cursors, for one that begins anew after ErrEpochChanged.
func (c *Cursors) Reset(ctx context.Context, follower string) error {
	return c.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error { return c.ResetIn(ctx, tx, follower) })
}

// ResetIn is Reset within a transaction of the follower's, in which it forgets what it knew.
func (c *Cursors) ResetIn(ctx context.Context, tx sqldb.Tx, follower string) error {
	if _, err := tx.Exec(ctx, c.reset, follower); err != nil {
		return fmt.Errorf("reset cursors of %s: %w", follower, err)
	}
	return nil
}
