package eventlog

import (
	"fmt"
	"strings"
)

// columnTypes are PostgreSQL's names.
var columnTypes = map[ColumnType]string{Int: "bigint", Text: "text", Bytes: "bytea", Bool: "boolean"}

// fixedArgs is how many arrays a batch has before those of the side tables.
const fixedArgs = 23

// batchSQL is the statement that writes a batch in one round trip. It takes the rows of the appends, of their entries,
// latest-wins entries, transaction ids and side tables as arrays; what belongs to an append bears its number, a.
//
//   - locked: the shards' rows, in ascending order, so that batches do not deadlock. From here to the commit nobody else
//     writes to these shards.
//   - used: the appends of which a transaction id was used before. The statement's snapshot may be older than the lock; what it
//     misses violates the key of the transaction ids, and the batch is repeated with a newer snapshot.
//   - want: the others, with each one's share of what its stream takes. Only appends that expect nothing share a stream.
//   - won: the streams whose sequence is the expected one now. READ COMMITTED reads the newest version of a row
//     that it updates.
//   - heads and placed: each winner's sequence number and last position.
//   - put_latest and outranked: an entry of less rank than what is stored now, or stands beside it in the batch, is left
//     out, and its writer is told. Like won, the update sees the newest version of a row.
//
// With strict, an append that did not win is division by zero, so that what else is in the transaction goes too.
func batchSQL(s Schema, strict bool) string {
	var b strings.Builder
	b.WriteString(batchHead)
	next := fixedArgs + 1
	for i, t := range s.Tables {
		b.WriteString(tableInsert(t, i, next))
		next += len(t.Columns) + 1
	}
	if strict {
		b.WriteString("\nSELECT a.a, p.seq, p.position, o.nths, NULL::text, NULL::text, NULL::bytea, 1 / (p.position IS NOT NULL)::int")
	} else {
		b.WriteString("\nSELECT a.a, p.seq, p.position, o.nths, u.scope, u.id, u.response, 1")
	}
	b.WriteString(` FROM appends a
	LEFT JOIN placed p ON p.a = a.a LEFT JOIN outranked o ON o.a = a.a LEFT JOIN used u ON u.a = a.a`)
	return strings.ReplaceAll(b.String(), "{log}", s.Name)
}

// lockSQL locks shards, in ascending order.
const lockSQL = `SELECT FROM {log}_shard WHERE shard = ANY($1::bigint[]) ORDER BY shard FOR UPDATE`

const batchHead = `WITH appends AS MATERIALIZED (
	SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
		AS t(a, stream, shard, expect, nseq, npos)),
locked AS MATERIALIZED (
	SELECT shard FROM {log}_shard WHERE shard = ANY($3::bigint[]) ORDER BY shard FOR UPDATE),
used AS MATERIALIZED (
	SELECT DISTINCT ON (t.a) t.a, x.scope, x.id, x.response
	FROM unnest($18::bigint[], $19::text[], $20::text[]) AS t(a, scope, id)
	JOIN {log}_txn x ON x.scope = t.scope AND x.id = t.id
	ORDER BY t.a),
want AS (
	SELECT a, stream, shard, expect, nseq, npos,
		sum(nseq) OVER (PARTITION BY stream ORDER BY a) AS upto, sum(nseq) OVER (PARTITION BY stream) AS total
	FROM appends WHERE a NOT IN (SELECT a FROM used)),
won AS (
	UPDATE {log}_stream s SET seq = s.seq + w.total
	FROM (SELECT DISTINCT stream, expect, total::bigint AS total FROM want) w
	WHERE s.stream = w.stream AND (w.expect < 0 OR s.seq = w.expect) AND (SELECT count(*) FROM locked) > 0
	RETURNING s.stream, s.seq, w.total),
kept AS (
	SELECT w.a, w.stream, w.shard, w.nseq, w.npos, (won.seq - won.total + w.upto)::bigint AS seq,
		sum(w.npos) OVER (PARTITION BY w.shard ORDER BY w.a) AS upto
	FROM want w JOIN won ON won.stream = w.stream),
heads AS (
	UPDATE {log}_shard h SET head = h.head + k.n
	FROM (SELECT shard, sum(npos)::bigint AS n FROM kept GROUP BY shard) k
	WHERE h.shard = k.shard
	RETURNING h.shard, h.head, k.n),
placed AS MATERIALIZED (
	SELECT k.a, k.stream, k.shard, k.nseq, k.npos, k.seq, (h.head - h.n + k.upto)::bigint AS position
	FROM kept k JOIN heads h ON h.shard = k.shard),
put_entry AS (
	INSERT INTO {log}_entry (shard, position, stream, seq, kind, ref, body)
	SELECT p.shard, p.position - p.npos + e.nth, p.stream, p.seq - p.nseq + e.nthseq, e.kind, e.ref, e.body
	FROM unnest($7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::bytea[])
		AS e(a, nth, nthseq, kind, ref, body)
	JOIN placed p ON p.a = e.a),
put_latest AS (
	INSERT INTO {log}_latest AS l (stream, key, kind, body, shard, position, rank)
	SELECT DISTINCT ON (p.stream, e.key) p.stream, e.key, e.kind, e.body, p.shard, p.position - p.npos + e.nth, e.rank
	FROM unnest($13::bigint[], $14::bigint[], $15::text[], $16::bigint[], $17::bytea[], $22::bigint[])
		AS e(a, nth, key, kind, body, rank)
	JOIN placed p ON p.a = e.a
	ORDER BY p.stream, e.key, e.rank DESC, e.a DESC, e.nth DESC
	ON CONFLICT (stream, key) DO UPDATE SET kind = excluded.kind, body = excluded.body,
		shard = excluded.shard, position = excluded.position, rank = excluded.rank
	WHERE l.rank <= excluded.rank
	RETURNING l.shard, l.position),
outranked AS (
	SELECT e.a, array_agg(e.nth) AS nths
	FROM unnest($13::bigint[], $14::bigint[], $22::bigint[]) AS e(a, nth, rank)
	JOIN placed p ON p.a = e.a
	WHERE e.rank > 0 AND (p.shard, p.position - p.npos + e.nth) NOT IN (SELECT shard, position FROM put_latest)
	GROUP BY e.a),
put_txn AS (
	INSERT INTO {log}_txn (scope, id, response, expires)
	SELECT t.scope, t.id, t.response, t.expires
	FROM unnest($18::bigint[], $19::text[], $20::text[], $21::bytea[], $23::bigint[]) AS t(a, scope, id, response, expires)
	JOIN placed p ON p.a = t.a)`

// tableInsert is the part of the batch for a side table, whose arrays begin with argument first.
func tableInsert(t Table, i, first int) string {
	arrays := []string{fmt.Sprintf("$%d::bigint[]", first)}
	var names []string
	for n, c := range t.Columns {
		names = append(names, c.Name)
		arrays = append(arrays, fmt.Sprintf("$%d::%s[]", first+n+1, columnTypes[c.Type]))
	}
	return fmt.Sprintf(`,
put_row%d AS (
	INSERT INTO %s (%s)
	SELECT r.%s FROM unnest(%s) AS r(a, %s) JOIN placed p ON p.a = r.a%s)`,
		i, t.Name, strings.Join(names, ", "), strings.Join(names, ", r."), strings.Join(arrays, ", "),
		strings.Join(names, ", "), onConflict(t))
}

// statementSQL wraps a statement so that another number of affected rows than the wanted one is division by zero,
// which undoes the transaction that the statement is sent in.
func statementSQL(sql string, want int64) string {
	if want <= 0 {
		return sql
	}
	return fmt.Sprintf("WITH changed AS (%s RETURNING 1) SELECT 1 / (count(*) = %d)::int FROM changed", sql, want)
}
