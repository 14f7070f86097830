package eventlog

import (
	"fmt"
	"reflect"
)

// args turns a batch into the arrays of its statement.
func (s *postgresStore) args(batch []*pending) ([]any, error) {
	var (
		appends  [6][]int64 // a, stream, shard, expect, nseq, npos
		entries  [4][]int64 // a, nth, nthseq, kind
		refs     []string
		bodies   [][]byte
		latest   [4][]int64 // a, nth, kind, rank
		keys     []string
		contents [][]byte
		txns     [2][]int64  // a, expires
		texts    [2][]string // scope, id
		answers  [][]byte
	)
	for a, p := range batch {
		a := int64(a)
		extend(appends[:], a, p.Stream.ID, int64(p.Stream.Shard), p.Expect, p.nseq, p.npos)
		p.sequences(p.nseq, func(i int, e *Entry, nthseq int64) {
			nth := int64(i) + 1
			if e.Key == "" {
				extend(entries[:], a, nth, nthseq, int64(e.Kind))
				refs, bodies = append(refs, e.Ref), append(bodies, notNil(e.Body))
				return
			}
			extend(latest[:], a, nth, int64(e.Kind), e.Rank)
			keys, contents = append(keys, e.Key), append(contents, notNil(e.Body))
		})
		for _, t := range p.Txns {
			extend(txns[:], a, t.ExpiresMs())
			texts[0], texts[1] = append(texts[0], t.Scope), append(texts[1], t.ID)
			answers = append(answers, notNil(t.Response))
		}
	}
	args := []any{
		appends[0], appends[1], appends[2], appends[3], appends[4], appends[5],
		entries[0], entries[1], entries[2], entries[3], refs, bodies,
		latest[0], latest[1], keys, latest[2], contents,
		txns[0], texts[0], texts[1], answers,
		latest[3], txns[1],
	}
	tables, err := s.tableArgs(batch)
	return append(args, tables...), err
}

// tableArgs are the arrays of the side tables: for each table the appends' numbers, then its columns.
func (s *postgresStore) tableArgs(batch []*pending) ([]any, error) {
	tables := s.log.schema.Tables
	numbers := make([][]int64, len(tables))
	columns := make([][]column, len(tables))
	for i, t := range tables {
		columns[i] = make([]column, len(t.Columns))
		for n, c := range t.Columns {
			columns[i][n].kind = c.Type
		}
	}
	for a, p := range batch {
		for _, r := range lastRows(p.Rows, tables) {
			numbers[r.Table] = append(numbers[r.Table], int64(a))
			for n, v := range r.Values {
				if err := columns[r.Table][n].add(v); err != nil {
					return nil, fmt.Errorf("column %s.%s: %w", tables[r.Table].Name, tables[r.Table].Columns[n].Name, err)
				}
			}
		}
	}
	var args []any
	for i := range tables {
		args = append(args, numbers[i])
		for n := range columns[i] {
			args = append(args, columns[i][n].array())
		}
	}
	return args, nil
}

// lastRows leaves out rows that a later one with the same key replaces: one statement cannot write a row twice.
func lastRows(rows []Row, tables []Table) []Row {
	seen := make(map[string]int)
	out := rows[:0:0]
	for _, r := range rows {
		t := &tables[r.Table]
		if len(t.Update) == 0 {
			out = append(out, r)
			continue
		}
		key := fmt.Sprint(r.Table)
		for n, c := range t.Columns {
			for _, k := range t.Key {
				if k == c.Name {
					key += fmt.Sprintf("\x00%v", r.Values[n])
				}
			}
		}
		if at, ok := seen[key]; ok {
			out[at] = r
			continue
		}
		seen[key] = len(out)
		out = append(out, r)
	}
	return out
}

// column is one column of rows, as the array that PostgreSQL gets. nil is NULL.
type column struct {
	kind  ColumnType
	ints  []*int64
	texts []*string
	bytes [][]byte
	bools []*bool
}

func (c *column) array() any {
	switch c.kind {
	case Int:
		return c.ints
	case Text:
		return c.texts
	case Bool:
		return c.bools
	default:
		return c.bytes
	}
}

// add appends a value of the column's type, or of a named type or pointer to it.
func (c *column) add(value any) error {
	v := reflect.ValueOf(value)
	for v.IsValid() && v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	null := !v.IsValid() || v.Kind() == reflect.Slice && v.IsNil()
	switch {
	case c.kind == Int && null:
		c.ints = append(c.ints, nil)
	case c.kind == Int && v.CanInt():
		c.ints = append(c.ints, new(v.Int()))
	case c.kind == Text && null:
		c.texts = append(c.texts, nil)
	case c.kind == Text && v.Kind() == reflect.String:
		c.texts = append(c.texts, new(v.String()))
	case c.kind == Bool && null:
		c.bools = append(c.bools, nil)
	case c.kind == Bool && v.Kind() == reflect.Bool:
		c.bools = append(c.bools, new(v.Bool()))
	case c.kind == Bytes && null:
		c.bytes = append(c.bytes, nil)
	case c.kind == Bytes && v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		c.bytes = append(c.bytes, v.Bytes())
	default:
		return fmt.Errorf("a value of type %T does not fit", value)
	}
	return nil
}

// extend appends one value to each column.
func extend(columns [][]int64, values ...int64) {
	for i, v := range values {
		columns[i] = append(columns[i], v)
	}
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
