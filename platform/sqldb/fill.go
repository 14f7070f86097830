package sqldb

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// Filling is the transaction of Fill.
type Filling interface {
	Tx
	// Clear removes all rows of a table.
	Clear(ctx context.Context, t Table) error
	// Insert adds rows, whose values are in the order of the table's columns and of the types that Table.Read gives.
	// Integers may stand for booleans and the other way round.
	Insert(ctx context.Context, t Table, rows [][]any) error
	// Number lets what PostgreSQL numbers by itself go on after what is there.
	Number(ctx context.Context, t Table) error
}

// Fill is Write for many rows: f runs once, in one transaction, and other writes wait for it. What it wrote is on disk when
// Fill returns nil, and nothing of it is there otherwise, unless IsConnectionLost holds.
func (db *DB) Fill(ctx context.Context, f func(context.Context, Filling) error) error {
	return db.backend.fill(ctx, f)
}

func (p *postgres) fill(ctx context.Context, f func(context.Context, Filling) error) error {
	return pgx.BeginTxFunc(ctx, p.pool, pgx.TxOptions{}, func(tx pgx.Tx) error { return f(ctx, pgFilling{pgTx{tx, p.rw}}) })
}

type pgFilling struct{ pgTx }

func (f pgFilling) Clear(ctx context.Context, t Table) error { return clearTable(ctx, f, t) }

func (f pgFilling) Insert(ctx context.Context, t Table, rows [][]any) error {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	converted := make([][]any, len(rows))
	for i, row := range rows {
		var err error
		if converted[i], err = t.convert(row); err != nil {
			return err
		}
		if err := t.checkText(row); err != nil {
			return err
		}
	}
	if _, err := f.tx.CopyFrom(ctx, pgx.Identifier{t.Name}, names, pgx.CopyFromRows(converted)); err != nil {
		return fmt.Errorf("fill table %s: %w", t.Name, err)
	}
	return nil
}

func (f pgFilling) Number(ctx context.Context, t Table) error {
	for _, c := range t.Columns {
		if !c.Identity {
			continue
		}
		_, err := f.Exec(ctx, `SELECT setval(pg_get_serial_sequence($1, $2), max(`+quoted(c.Name)+`)) FROM `+quoted(t.Name)+
			` HAVING count(*) > 0`, quoted(t.Name), c.Name)
		if err != nil {
			return fmt.Errorf("number table %s: %w", t.Name, err)
		}
	}
	return nil
}

// checkText finds text that PostgreSQL refuses, so that the message says where it is.
func (t Table) checkText(row []any) error {
	for i, v := range row {
		if text, ok := v.(string); ok && (strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text)) {
			return fmt.Errorf("fill table %s: column %s: PostgreSQL cannot hold the text %.80q in the row of %.80q",
				t.Name, t.Columns[i].Name, text, fmt.Sprint(row[0]))
		}
	}
	return nil
}

// convert makes a row's values those of the columns' kinds.
func (t Table) convert(row []any) ([]any, error) {
	if len(row) != len(t.Columns) {
		return nil, fmt.Errorf("fill table %s: %d values for %d columns", t.Name, len(row), len(t.Columns))
	}
	out := make([]any, len(row))
	for i, c := range t.Columns {
		var err error
		if out[i], err = c.Kind.value(row[i]); err != nil {
			return nil, fmt.Errorf("fill table %s: column %s: %w", t.Name, c.Name, err)
		}
	}
	return out, nil
}

func clearTable(ctx context.Context, tx Tx, t Table) error {
	if _, err := tx.Exec(ctx, `DELETE FROM `+quoted(t.Name)); err != nil {
		return fmt.Errorf("clear table %s: %w", t.Name, err)
	}
	return nil
}

func (l *lite) fill(ctx context.Context, f func(context.Context, Filling) error) error {
	return l.write(ctx, func(ctx context.Context, tx Tx) error { return f(ctx, liteFilling{tx}) })
}

type liteFilling struct{ Tx }

func (f liteFilling) Clear(ctx context.Context, t Table) error { return clearTable(ctx, f, t) }

// rowsAtOnce is how many rows one statement inserts.
const rowsAtOnce = 32

func (f liteFilling) Insert(ctx context.Context, t Table, rows [][]any) error {
	one := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(t.Columns)), ", ") + ")"
	insert := `INSERT INTO ` + quoted(t.Name) + ` (` + t.names() + `) VALUES ` + one
	many := insert + strings.Repeat(", "+one, rowsAtOnce-1)
	args := make([]any, 0, rowsAtOnce*len(t.Columns))
	for len(rows) > 0 {
		sql, n := insert, 1
		if len(rows) >= rowsAtOnce {
			sql, n = many, rowsAtOnce
		}
		args = args[:0]
		for _, row := range rows[:n] {
			values, err := t.convert(row)
			if err != nil {
				return err
			}
			args = append(args, values...)
		}
		if _, err := f.Exec(ctx, sql, args...); err != nil {
			return fmt.Errorf("fill table %s: %w", t.Name, err)
		}
		rows = rows[n:]
	}
	return nil
}

// Number does nothing: SQLite goes on after the greatest number by itself.
func (f liteFilling) Number(context.Context, Table) error { return nil }
