package transfer

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/sqldb"
)

// markTable says of a service's database, in its one row, that it is not for use. It is there only then.
const markTable = "transfer"

// The states of a marked database.
const (
	// filling: it does not hold everything.
	filling = "filling"
	// filled: this one and those of all other services hold everything; the mark is about to go.
	filled = "filled"
	// moving: it is being copied elsewhere and holds everything itself; what came in now would be missing there.
	moving = "moving"
	// moved: everything was copied elsewhere, and the copy is what is used from then on.
	moved = "moved"
)

// mark is a database's mark. The zero value is none.
type mark struct {
	state string
	// what says where the rows come from, or where they went.
	what string
}

func (m mark) unfinished() bool { return m.state == filling || m.state == filled }

// refusal says why a marked database is not for use.
func (m mark) refusal() error {
	switch m.state {
	case "":
		return nil
	case moved:
		return fmt.Errorf("it was moved to %s by \"hongyan migrate\", and what is here is no longer what is used. "+
			"To go back to it, and lose what came since, drop the table %q", m.what, markTable)
	case moving:
		return fmt.Errorf("it is being moved to %s by \"hongyan migrate\", or that was interrupted: wait for it, or run it again. "+
			"To give up the move, drop the table %q", m.what, markTable)
	}
	return fmt.Errorf("it is being filled with %s, or that was interrupted and it is incomplete: "+
		"wait for \"hongyan restore\" or \"hongyan migrate\", or run it again", m.what)
}

// Refuse returns why a server must not use the database; nil when it may.
func Refuse(ctx context.Context, db *sqldb.DB) error {
	m, err := readMark(ctx, db, db)
	if err != nil {
		return err
	}
	return m.refusal()
}

func readMark(ctx context.Context, db *sqldb.DB, q sqldb.Querier) (m mark, err error) {
	there, err := db.HasTable(ctx, q, markTable)
	if err != nil || !there {
		return mark{}, err
	}
	err = q.QueryRow(ctx, `SELECT state, what FROM transfer`).Scan(&m.state, &m.what)
	if err != nil && !errors.Is(err, sqldb.ErrNoRows) {
		return mark{}, fmt.Errorf("read the mark: %w", err)
	}
	return m, nil
}

// setMark marks a database.
func setMark(ctx context.Context, db *sqldb.DB, m mark) error {
	err := db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS transfer (
			one BIGINT PRIMARY KEY CHECK (one = 1), state TEXT NOT NULL, what TEXT NOT NULL)`)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO transfer (one, state, what) VALUES (1, $1, $2)
			ON CONFLICT (one) DO UPDATE SET state = excluded.state, what = excluded.what`, m.state, m.what)
		return err
	})
	if err != nil {
		return fmt.Errorf("mark the database: %w", err)
	}
	return nil
}

// MarkMoving keeps servers from a database while its rows are copied elsewhere. It is for one that is not marked, or was
// left so by an earlier run.
func MarkMoving(ctx context.Context, db *sqldb.DB, where string) error {
	return setMark(ctx, db, mark{moving, where})
}

// EndMoving gives a database that MarkMoving has marked back to servers. It leaves other marks alone.
func EndMoving(ctx context.Context, db *sqldb.DB) error {
	m, err := readMark(ctx, db, db)
	if err != nil || m.state != moving {
		return err
	}
	return removeMark(ctx, db)
}

// MarkMoved keeps servers from a database whose rows are elsewhere now.
func MarkMoved(ctx context.Context, db *sqldb.DB, where string) error {
	return setMark(ctx, db, mark{moved, where})
}

// IsMoved tells whether MarkMoved was called.
func IsMoved(ctx context.Context, db *sqldb.DB) (bool, error) {
	m, err := readMark(ctx, db, db)
	return m.state == moved, err
}

// RefuseConnected fails when a server is connected to the database. Where it is marked, none comes after that.
func RefuseConnected(ctx context.Context, db *sqldb.DB) error {
	others, err := db.Others(ctx)
	if err != nil {
		return err
	}
	if others > 0 {
		return fmt.Errorf("a server is connected to it (%d sessions): stop it", others)
	}
	return nil
}

// removeMark makes a database one for use.
func removeMark(ctx context.Context, db *sqldb.DB) error {
	if _, err := db.Exec(ctx, `DROP TABLE IF EXISTS transfer`); err != nil {
		return fmt.Errorf("remove the mark: %w", err)
	}
	return nil
}
