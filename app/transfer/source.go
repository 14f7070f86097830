package transfer

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/lease"
	"hongyan/platform/sqldb"
)

// Service is what is copied of a service's database.
type Service struct {
	Name string `json:"name"`
	// Versions are those of the schema, by the name of the migration.
	Versions map[string]int64 `json:"versions"`
	Tables   []sqldb.Table    `json:"tables"`
}

// Database is the database of a service.
type Database struct {
	Service string
	DB      *sqldb.DB
}

// take takes some rows of a table, which it may keep.
type take func(table sqldb.Table, rows [][]any) error

// source gives rows.
type source interface {
	// services are what there is, in the order in which it is read.
	services() []Service
	// read hands all rows of a service over, table by table.
	read(ctx context.Context, service Service, to take) error
	// end fails when there is more than was read.
	end() error
}

const (
	// batchRows and batchBytes bound the rows that are handed over at once.
	batchRows  = 2000
	batchBytes = 1 << 20
)

// batch gathers rows.
type batch struct {
	table sqldb.Table
	to    take
	rows  [][]any
	bytes int
}

func (b *batch) add(row []any) error {
	b.rows = append(b.rows, row)
	for _, v := range row {
		switch v := v.(type) {
		case string:
			b.bytes += len(v)
		case []byte:
			b.bytes += len(v)
		}
		b.bytes += 16
	}
	if len(b.rows) >= batchRows || b.bytes >= batchBytes {
		return b.flush()
	}
	return nil
}

func (b *batch) flush() error {
	if len(b.rows) == 0 {
		return nil
	}
	rows := b.rows
	b.rows, b.bytes = make([][]any, 0, min(len(rows), batchRows)), 0
	return b.to(b.table, rows)
}

// snapshots are databases as they were at one moment each.
type snapshots struct {
	taken []Service
	views map[string]sqldb.Querier
}

// withSnapshots calls f with snapshots of databases, taken in their order.
func withSnapshots(ctx context.Context, databases []Database, f func(ctx context.Context, s *snapshots) error) error {
	s := &snapshots{views: map[string]sqldb.Querier{}}
	return s.take(ctx, databases, f)
}

func (s *snapshots) take(ctx context.Context, databases []Database, f func(ctx context.Context, s *snapshots) error) error {
	if len(databases) == 0 {
		return f(ctx, s)
	}
	d := databases[0]
	return d.DB.View(ctx, func(ctx context.Context, q sqldb.Querier) error {
		// The first query begins the snapshot.
		service, err := describe(ctx, d, q)
		if err != nil {
			return err
		}
		s.taken = append(s.taken, service)
		s.views[d.Service] = q
		return s.take(ctx, databases[1:], f)
	})
}

// describe looks at what there is to copy.
func describe(ctx context.Context, d Database, q sqldb.Querier) (Service, error) {
	there, err := readMark(ctx, d.DB, q)
	if err != nil {
		return Service{}, fmt.Errorf("database of %s: %w", d.Service, err)
	}
	if there.unfinished() {
		return Service{}, fmt.Errorf("database of %s: %w", d.Service, there.refusal())
	}
	service := Service{Name: d.Service}
	if service.Versions, err = d.DB.Versions(ctx, q); err != nil {
		return Service{}, fmt.Errorf("database of %s: %w", d.Service, err)
	}
	tables, err := d.DB.Tables(ctx, q)
	if err != nil {
		return Service{}, fmt.Errorf("database of %s: %w", d.Service, err)
	}
	for _, t := range tables {
		if t.Name != markTable && !lease.IsTable(t.Name) {
			service.Tables = append(service.Tables, t)
		}
	}
	if len(service.Versions) == 0 || len(service.Tables) == 0 {
		return Service{}, fmt.Errorf("database of %s: there are no tables: no server has run on it", d.Service)
	}
	return service, nil
}

func (s *snapshots) services() []Service { return s.taken }

func (s *snapshots) read(ctx context.Context, service Service, to take) error {
	q, ok := s.views[service.Name]
	if !ok {
		return errors.New("there is no database of " + service.Name)
	}
	for _, t := range service.Tables {
		if err := readTable(ctx, q, t, to); err != nil {
			return fmt.Errorf("database of %s: %w", service.Name, err)
		}
	}
	return nil
}

func (s *snapshots) end() error { return nil }

// readTable hands a table's rows over in batches.
func readTable(ctx context.Context, q sqldb.Querier, t sqldb.Table, to take) error {
	b := &batch{table: t, to: to}
	if err := t.Read(ctx, q, b.add); err != nil {
		return err
	}
	return b.flush()
}
