package eventlog

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"hongyan/platform/sqldb"
)

// tablesOf finds the logs and the cursors of a database by their tables.
func tablesOf(tables []sqldb.Table) (logs, cursors []string) {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.Name
	}
	for _, name := range names {
		if log, ok := strings.CutSuffix(name, "_shard"); ok &&
			slices.Contains(names, log+"_meta") && slices.Contains(names, log+"_stream") && slices.Contains(names, log+"_entry") {
			logs = append(logs, log)
		}
		if cursor, ok := strings.CutSuffix(name, "_cursor"); ok {
			cursors = append(cursors, cursor)
		}
	}
	return logs, cursors
}

// IsUnused tells of the tables of a database that one holds nothing else than what Open makes of a new log.
func IsUnused(ctx context.Context, q sqldb.Querier, tables []sqldb.Table, table string) (bool, error) {
	logs, _ := tablesOf(tables)
	for _, log := range logs {
		if table != log+"_meta" && table != log+"_shard" {
			continue
		}
		var head int64
		if err := q.QueryRow(ctx, `SELECT coalesce(max(head), 0) FROM `+log+`_shard`).Scan(&head); err != nil {
			return false, fmt.Errorf("heads of log %s: %w", log, err)
		}
		return head == 0, nil
	}
	return false, nil
}

// renewal is the new epoch of a log.
type renewal struct {
	epoch int64
	heads []int64
}

// Renew gives all logs of some databases other epochs: positions that are held elsewhere mean nothing from now on. It is
// for databases that were restored from one backup, while nothing has them open. The cursors in these databases follow,
// since they were restored with the logs: each goes on where it stood, but that one which is beyond the end of its
// log begins anew. When it fails, the databases are to be restored again.
func Renew(ctx context.Context, databases []*sqldb.DB) error {
	renewed := map[int64]renewal{}
	cursors := make([][]string, len(databases))
	for i, db := range databases {
		tables, err := db.Tables(ctx, db)
		if err != nil {
			return err
		}
		var logs []string
		logs, cursors[i] = tablesOf(tables)
		for _, log := range logs {
			if err := renewLog(ctx, db, log, renewed); err != nil {
				return fmt.Errorf("new epoch of log %s: %w", log, err)
			}
		}
	}
	for i, db := range databases {
		for _, name := range cursors[i] {
			if err := renewCursors(ctx, db, name, renewed); err != nil {
				return fmt.Errorf("cursors %s after a new epoch: %w", name, err)
			}
		}
	}
	return nil
}

func renewLog(ctx context.Context, db *sqldb.DB, log string, renewed map[int64]renewal) error {
	var old int64
	r := renewal{epoch: newEpoch()}
	err := db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		r.heads = nil
		if err := tx.QueryRow(ctx, `SELECT epoch FROM `+log+`_meta`).Scan(&old); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT head FROM `+log+`_shard ORDER BY shard`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var head int64
			if err := rows.Scan(&head); err != nil {
				return err
			}
			r.heads = append(r.heads, head)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE `+log+`_meta SET epoch = $1`, r.epoch)
		return err
	})
	renewed[old] = r
	return err
}

// stand is where a cursor stands.
type stand struct {
	follower               string
	shard, position, epoch int64
}

func renewCursors(ctx context.Context, db *sqldb.DB, name string, renewed map[int64]renewal) error {
	table := name + "_cursor"
	return db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		stands, err := readCursors(ctx, tx, table)
		if err != nil {
			return err
		}
		for _, c := range stands {
			r, ok := renewed[c.epoch]
			if !ok {
				continue // it follows something else, and notices by itself
			}
			if c.shard >= int64(len(r.heads)) || c.position > r.heads[c.shard] {
				_, err = tx.Exec(ctx, `DELETE FROM `+table+` WHERE follower = $1 AND shard = $2`, c.follower, c.shard)
			} else {
				_, err = tx.Exec(ctx, `UPDATE `+table+` SET epoch = $1 WHERE follower = $2 AND shard = $3`, r.epoch, c.follower, c.shard)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func readCursors(ctx context.Context, tx sqldb.Tx, table string) (stands []stand, err error) {
	rows, err := tx.Query(ctx, `SELECT follower, shard, position, epoch FROM `+table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c stand
		if err := rows.Scan(&c.follower, &c.shard, &c.position, &c.epoch); err != nil {
			return nil, err
		}
		stands = append(stands, c)
	}
	return stands, rows.Err()
}
