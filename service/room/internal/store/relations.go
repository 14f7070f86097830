package store

import (
	"context"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// RelationRow notes that the event seq relates to a target.
func RelationRow(room int64, target string, seq int64, relType, sender string) eventlog.Row {
	return eventlog.Row{Table: tableRelation, Values: []any{room, target, seq, relType, sender}}
}

// Unrelate takes a relation back, once the event seq is redacted.
func Unrelate(room int64, target string, seq int64) eventlog.Statement {
	return eventlog.Statement{
		SQL: `DELETE FROM event_relation WHERE room = $1 AND target = $2 AND seq = $3`, Args: []any{room, target, seq},
	}
}

// Related returns which of the targets an event through a sequence number relates to in one of the ways and by one of the
// senders. A nil list allows all.
func (r *Reader) Related(ctx context.Context, room, through int64, targets, relTypes, senders []string) ([]string, error) {
	if len(targets) == 0 {
		return nil, nil
	}
	rows, err := r.db.Query(ctx, `
SELECT DISTINCT target FROM event_relation
WHERE room = $1 AND seq <= $2
AND target = ANY($3)                                            -- postgres
AND ($4 = 0 OR rel_type = ANY($5)) AND ($6 = 0 OR sender = ANY($7)) -- postgres
AND target IN (SELECT value FROM json_each($3))                 -- sqlite
AND ($4 = 0 OR rel_type IN (SELECT value FROM json_each($5)))   -- sqlite
AND ($6 = 0 OR sender IN (SELECT value FROM json_each($7)))     -- sqlite
`, room, through, targets, bit(relTypes != nil), relTypes, bit(senders != nil), senders)
	return collect(rows, err, "read relations", func(rows sqldb.Rows, target *string) error { return rows.Scan(target) })
}
