package sqldb

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// Kind is what a column holds, whichever database it is in.
type Kind string

// The kinds of columns. On SQLite booleans are integers.
const (
	KindInt   Kind = "int"
	KindText  Kind = "text"
	KindBytes Kind = "bytes"
	KindBool  Kind = "bool"
	KindFloat Kind = "float"
)

// Table is a table as the database's catalogue has it.
type Table struct {
	Name    string        `json:"name"`
	Columns []TableColumn `json:"columns"`
}

// TableColumn is a column of a Table.
type TableColumn struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Identity says that PostgreSQL numbers its rows by itself.
	Identity bool `json:"-"`
}

// kindOf is what a type holds, by its name in a database's catalogue.
func kindOf(typ string) (Kind, bool) {
	switch strings.ToLower(typ) {
	case "integer", "bigint", "smallint":
		return KindInt, true
	case "text":
		return KindText, true
	case "blob", "bytea":
		return KindBytes, true
	case "boolean":
		return KindBool, true
	case "real", "double precision":
		return KindFloat, true
	}
	return "", false
}

// tableName is what names of tables and columns look like, which become part of statements.
var tableName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

const columnsSQL = `SELECT c.relname, a.attname, format_type(a.atttypid, NULL), a.attidentity <> '' -- postgres
	FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid                                       -- postgres
	WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relkind IN ('r', 'p') -- postgres
	AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped                                -- postgres
	ORDER BY c.relname COLLATE "C", a.attnum                                                        -- postgres
	SELECT t.name, c.name, c.type, 0 FROM pragma_table_list t JOIN pragma_table_info(t.name) c      -- sqlite
	WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite~_%' ESCAPE '~'         -- sqlite
	ORDER BY t.name, c.cid                                                                          -- sqlite`

// Tables lists the tables of the database, on PostgreSQL those of the first schema of the search path, by name. Those
// that hold the versions of schemas are left out: see Versions.
func (db *DB) Tables(ctx context.Context, q Querier) ([]Table, error) {
	all, err := allTables(ctx, q)
	if err != nil {
		return nil, err
	}
	var tables []Table
	for _, t := range all {
		if !strings.HasSuffix(t.Name, migrationSuffix) {
			tables = append(tables, t)
		}
	}
	for _, t := range tables {
		for _, c := range t.Columns {
			if c.Kind == "" {
				return nil, fmt.Errorf("list tables: column %s of table %s has a type that is none of both databases'", c.Name, t.Name)
			}
		}
	}
	return tables, nil
}

// allTables lists tables. A column's kind is empty where its type is none of the house's.
func allTables(ctx context.Context, q Querier) (all []Table, err error) {
	rows, err := q.Query(ctx, columnsSQL)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var table, typ string
		var c TableColumn
		if err := rows.Scan(&table, &c.Name, &typ, &c.Identity); err != nil {
			return nil, fmt.Errorf("list tables: %w", err)
		}
		if !tableName.MatchString(table) || !tableName.MatchString(c.Name) {
			return nil, fmt.Errorf("list tables: table %q has a name that is none of this program's", table)
		}
		c.Kind, _ = kindOf(typ)
		if n := len(all); n == 0 || all[n-1].Name != table {
			all = append(all, Table{Name: table})
		}
		t := &all[len(all)-1]
		t.Columns = append(t.Columns, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	return all, nil
}

// HasTable tells whether there is a table of this name among those that Tables lists.
func (db *DB) HasTable(ctx context.Context, q Querier, name string) (bool, error) {
	var there bool
	err := q.QueryRow(ctx, `SELECT EXISTS (
		SELECT 1 FROM pg_class WHERE relname = $1                                    -- postgres
		AND relnamespace = to_regnamespace(quote_ident(current_schema()))            -- postgres
		SELECT 1 FROM sqlite_master WHERE name = $1 AND type = 'table'               -- sqlite
		)`, name).Scan(&there)
	if err != nil {
		return false, fmt.Errorf("look for table %s: %w", name, err)
	}
	return there, nil
}

// Versions returns how far each Migration of the database was applied, by its name.
func (db *DB) Versions(ctx context.Context, q Querier) (map[string]int64, error) {
	all, err := allTables(ctx, q)
	if err != nil {
		return nil, err
	}
	versions := map[string]int64{}
	for _, t := range all {
		name, ok := strings.CutSuffix(t.Name, migrationSuffix)
		if !ok {
			continue
		}
		var version int64
		err := q.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM `+quoted(t.Name)+` WHERE is_applied`).Scan(&version)
		if err != nil {
			return nil, fmt.Errorf("read version of schema %s: %w", name, err)
		}
		versions[name] = version
	}
	return versions, nil
}

// quoted is a name as part of a statement. It has passed tableName.
func quoted(name string) string { return `"` + name + `"` }

// names are the table's columns as part of a statement.
func (t Table) names() string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = quoted(c.Name)
	}
	return strings.Join(names, ", ")
}

// HasRows tells whether a table has any.
func (t Table) HasRows(ctx context.Context, q Querier) (bool, error) {
	var some bool
	if err := q.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM `+quoted(t.Name)+`)`).Scan(&some); err != nil {
		return false, fmt.Errorf("look into table %s: %w", t.Name, err)
	}
	return some, nil
}

// Read calls each with all rows of the table, in no order. A row's values are nil, int64, string, []byte, float64 or bool,
// as the column's kind says; each may keep them. An empty []byte is not nil.
func (t Table) Read(ctx context.Context, q Querier, each func(row []any) error) error {
	rows, err := q.Query(ctx, `SELECT `+t.names()+` FROM `+quoted(t.Name))
	if err != nil {
		return fmt.Errorf("read table %s: %w", t.Name, err)
	}
	defer rows.Close()
	into := make([]any, len(t.Columns))
	for rows.Next() {
		row := make([]any, len(t.Columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("read table %s: %w", t.Name, err)
		}
		for i, c := range t.Columns {
			if row[i], err = c.Kind.value(row[i]); err != nil {
				return fmt.Errorf("read table %s: column %s: %w", t.Name, c.Name, err)
			}
		}
		if err := each(row); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read table %s: %w", t.Name, err)
	}
	return nil
}

// value is a value of a column of this kind, of whatever type the database has it. SQLite keeps types by value: an empty
// []byte is there as a text.
func (k Kind) value(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case int64:
		switch k {
		case KindInt:
			return v, nil
		case KindBool:
			return v != 0, nil
		case KindFloat:
			return float64(v), nil
		}
	case int32:
		return k.value(int64(v))
	case int16:
		return k.value(int64(v))
	case string:
		switch k {
		case KindText:
			return v, nil
		case KindBytes:
			return []byte(v), nil
		}
	case []byte:
		switch k {
		case KindText:
			return string(v), nil
		case KindBytes:
			if v == nil {
				return []byte{}, nil // a NULL is no []byte
			}
			return v, nil
		}
	case bool:
		switch k {
		case KindBool:
			return v, nil
		case KindInt:
			if v {
				return int64(1), nil
			}
			return int64(0), nil
		}
	case float64:
		if k == KindFloat {
			return v, nil
		}
	}
	return nil, fmt.Errorf("a value of type %T is no %s", v, k)
}
