package eventlog

import (
	"fmt"
	"slices"
	"strings"
)

// statements is the SQL of a log, with its names filled in. The batch of PostgreSQL is in postgres_sql.go.
type statements struct {
	insertMeta, insertShards, updateEpoch string

	heads, stream, streams, streamByID, insertStream, seq, seqs string
	seqAt, positionAt                                           string
	read, latest, latestAfter, entryByRef                       string
	countLatest, trimLatest                                     string
	remove, removeAll, removeLatest                             string
	txn, countTxns, insertTxn, putTxns, expireTxns, forgetTxns  string

	// SQLite's append, one statement a step.
	allHeads, head, setHead, swap, increment, removeTxn string
	insertEntry, insertLatest                           string
	insertRow                                           []string
}

func newStatements(s Schema) statements {
	doc, join := "CAST(NULL AS BYTEA)", ""
	if s.Doc != nil {
		doc = "d." + s.Doc.Column
		join = fmt.Sprintf("LEFT JOIN %s d ON d.%s = e.ref", s.Doc.Table, s.Doc.Ref)
	}
	fill := func(sql string) string {
		return strings.NewReplacer("{log}", s.Name, "{doc}", doc, "{join}", join).Replace(sql)
	}
	st := statements{
		insertMeta: fill(`INSERT INTO {log}_meta (one, epoch, shards) VALUES (1, $1, $2) ON CONFLICT (one) DO NOTHING`),
		insertShards: fill(`INSERT INTO {log}_shard (shard, head)
			SELECT s, 0 FROM generate_series(0, $1::bigint - 1) AS s -- postgres
			WITH RECURSIVE n(s) AS (SELECT 0 UNION ALL SELECT s + 1 FROM n WHERE s + 1 < $1) SELECT s, 0 FROM n -- sqlite`),
		updateEpoch: fill(`UPDATE {log}_meta SET epoch = $1`),

		heads:  fill(`SELECT m.epoch, s.head FROM {log}_shard s, {log}_meta m ORDER BY s.shard`),
		stream: fill(`SELECT stream, shard, seq FROM {log}_stream WHERE name = $1`),
		streams: fill(`SELECT stream, name, shard, seq FROM {log}_stream
			WHERE name = ANY($1)                            -- postgres
			WHERE name IN (SELECT value FROM json_each($1)) -- sqlite`),
		streamByID: fill(`SELECT name FROM {log}_stream WHERE stream = $1`),
		insertStream: fill(`INSERT INTO {log}_stream (name, shard, seq) VALUES ($1, $2, 0)
			ON CONFLICT (name) DO NOTHING`),
		seq: fill(`SELECT stream, seq FROM {log}_stream WHERE stream = $1`),
		seqs: fill(`SELECT stream, seq FROM {log}_stream
			WHERE stream = ANY($1)                            -- postgres
			WHERE stream IN (SELECT value FROM json_each($1)) -- sqlite`),
		positionAt: fill(`SELECT position FROM {log}_entry WHERE stream = $1 AND seq <= $2 ORDER BY seq DESC LIMIT 1`),
		entryByRef: fill(`SELECT seq, position FROM {log}_entry WHERE stream = $1 AND seq > $2 AND seq <= $3 AND ref = $4`),
		txn:        fill(`SELECT response FROM {log}_txn WHERE scope = $1 AND id = $2`),
		countTxns: fill(`SELECT count(*)
			FROM unnest($1::text[], $2::text[]) AS w(scope, id)       -- postgres
			FROM (SELECT a.value AS scope, b.value AS id              -- sqlite
				FROM json_each($1) a JOIN json_each($2) b USING (key)) w -- sqlite
			JOIN {log}_txn t ON t.scope = w.scope AND t.id = w.id`),
		insertTxn: fill(`INSERT INTO {log}_txn (scope, id, response, expires) VALUES ($1, $2, $3, $4)
			ON CONFLICT (scope, id) DO NOTHING`),
		putTxns: fill(`INSERT INTO {log}_txn (scope, id, response, expires)
			SELECT t.scope, $2, $3, $4 FROM unnest($1::text[]) AS t(scope)  -- postgres
			SELECT t.value, $2, $3, $4 FROM json_each($1) AS t WHERE true   -- sqlite
			ON CONFLICT (scope, id) DO NOTHING`),
		forgetTxns: fill(`DELETE FROM {log}_txn WHERE (scope, id) IN (
			SELECT scope, id FROM {log}_txn WHERE scope >= $1 AND scope < $2 LIMIT $3)`),
		expireTxns: fill(`DELETE FROM {log}_txn WHERE (scope, id) IN (
			SELECT scope, id FROM {log}_txn WHERE expires > 0 AND expires <= $1 LIMIT $2
			FOR UPDATE SKIP LOCKED -- postgres
			)`),
		seqAt: fill(seqAtSQL),
		read:  fill(readSQL),
		latest: fill(`SELECT l.shard, l.position, l.stream, s.name, 0, l.kind, l.key, '', l.body, CAST(NULL AS BYTEA)
			FROM {log}_latest l JOIN {log}_stream s ON s.stream = l.stream
			WHERE l.stream = $1 AND l.key >= $2 AND ($3 = '' OR l.key < $3) ORDER BY l.key`),
		latestAfter: fill(`SELECT l.shard, l.position, l.stream, s.name, 0, l.kind, l.key, '', l.body, CAST(NULL AS BYTEA)
			FROM unnest($1::bigint[], $2::bigint[]) AS w(stream, after) -- postgres
			FROM (SELECT a.value AS stream, b.value AS after            -- sqlite
				FROM json_each($1) a JOIN json_each($2) b USING (key)) w -- sqlite
			JOIN {log}_latest l ON l.stream = w.stream JOIN {log}_stream s ON s.stream = l.stream
			WHERE l.position > w.after ORDER BY l.stream, l.position`),
		countLatest: fill(`SELECT count(*) FROM {log}_latest WHERE stream = $1 AND key >= $2 AND key < $3`),
		trimLatest: fill(`DELETE FROM {log}_latest WHERE stream = $1 AND key >= $2 AND key < $3 AND rank <= (
			SELECT rank FROM {log}_latest WHERE stream = $1 AND key >= $2 AND key < $3 ORDER BY rank DESC LIMIT 1 OFFSET $4)`),

		remove: fill(`DELETE FROM {log}_entry WHERE stream = $1 AND seq < (SELECT seq FROM {log}_stream WHERE stream = $1)
			AND seq = ANY($2)                            -- postgres
			AND seq IN (SELECT value FROM json_each($2)) -- sqlite`),
		removeAll: fill(`DELETE FROM {log}_entry WHERE stream = $1 AND seq <= $2`),
		removeLatest: fill(`DELETE FROM {log}_latest WHERE stream = $1 AND key IN (
			SELECT key FROM {log}_latest WHERE stream = $1 AND key <> $2 LIMIT $3)`),

		allHeads:  fill(`SELECT shard, head FROM {log}_shard`),
		head:      fill(`SELECT head FROM {log}_shard WHERE shard = $1`),
		setHead:   fill(`UPDATE {log}_shard SET head = $1 WHERE shard = $2`),
		swap:      fill(`UPDATE {log}_stream SET seq = $1 WHERE stream = $2 AND seq = $3`),
		increment: fill(`UPDATE {log}_stream SET seq = seq + $1 WHERE stream = $2`),
		removeTxn: fill(`DELETE FROM {log}_txn WHERE scope = $1 AND id = $2`),
		insertEntry: fill(`INSERT INTO {log}_entry (shard, position, stream, seq, kind, ref, body)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`),
		insertLatest: fill(`INSERT INTO {log}_latest AS l (stream, key, kind, body, shard, position, rank)
			VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (stream, key) DO UPDATE SET kind = excluded.kind, body = excluded.body,
				shard = excluded.shard, position = excluded.position, rank = excluded.rank
			WHERE l.rank <= excluded.rank`),
	}
	for _, t := range s.Tables {
		st.insertRow = append(st.insertRow, insertRowSQL(t))
	}
	return st
}

// seqAtSQL finds the newest sequence number at or before a position by bisection over the index of (stream, seq):
// within a stream, positions grow with sequence numbers. The answer is always from lo to hi. Where entries were removed, their
// numbers may be either side's: the middle is judged by the newest entry that is left in the lower half, and where there is
// none, the lower half is behind.
const seqAtSQL = `WITH RECURSIVE b(lo, hi) AS (
	SELECT CAST(0 AS BIGINT), seq FROM {log}_stream WHERE stream = $1
	UNION ALL
	SELECT
		CASE WHEN COALESCE((SELECT e.position FROM {log}_entry e
				WHERE e.stream = $1 AND e.seq > b.lo AND e.seq <= (b.lo + b.hi + 1) / 2 ORDER BY e.seq DESC LIMIT 1), 0) <= $2
			THEN (b.lo + b.hi + 1) / 2 ELSE b.lo END,
		CASE WHEN COALESCE((SELECT e.position FROM {log}_entry e
				WHERE e.stream = $1 AND e.seq > b.lo AND e.seq <= (b.lo + b.hi + 1) / 2 ORDER BY e.seq DESC LIMIT 1), 0) <= $2
			THEN b.hi ELSE (b.lo + b.hi + 1) / 2 - 1 END
	FROM b WHERE b.lo < b.hi
) SELECT lo FROM b WHERE lo >= hi`

// readSQL reads a page of a shard, and its head in a row without a stream, on one snapshot.
const readSQL = `SELECT * FROM (
	SELECT e.shard, e.position, e.stream, s.name, e.seq, e.kind, '' AS key, e.ref, e.body, {doc} AS doc
	FROM {log}_entry e JOIN {log}_stream s ON s.stream = e.stream {join}
	WHERE e.shard = $1 AND e.position > $2 ORDER BY e.position LIMIT $3) entries
UNION ALL SELECT * FROM (
	SELECT l.shard, l.position, l.stream, s.name, 0 AS seq, l.kind, l.key, '' AS ref, l.body, CAST(NULL AS BYTEA) AS doc
	FROM {log}_latest l JOIN {log}_stream s ON s.stream = l.stream
	WHERE l.shard = $1 AND l.position > $2 ORDER BY l.position LIMIT $3) latest
UNION ALL SELECT shard, head, 0, '', 0, 0, '', '', CAST(NULL AS BYTEA), CAST(NULL AS BYTEA)
	FROM {log}_shard WHERE shard = $1`

func insertRowSQL(t Table) string {
	names, marks := make([]string, len(t.Columns)), make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i], marks[i] = c.Name, fmt.Sprintf("$%d", i+1)
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)%s", t.Name,
		strings.Join(names, ", "), strings.Join(marks, ", "), onConflict(t))
}

// onConflict is what happens to a row whose key exists.
func onConflict(t Table) string {
	if len(t.Update) == 0 {
		return ""
	}
	sets := make([]string, len(t.Update))
	for i, c := range t.Update {
		sets[i] = c + " = excluded." + c
		if slices.Contains(t.Add, c) {
			sets[i] = c + " = " + t.Name + "." + c + " + excluded." + c
		}
	}
	return fmt.Sprintf(" ON CONFLICT (%s) DO UPDATE SET %s", strings.Join(t.Key, ", "), strings.Join(sets, ", "))
}
