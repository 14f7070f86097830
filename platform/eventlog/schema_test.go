package eventlog_test

import (
	"testing/fstest"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// The side tables of the tests' log, which is like a room log's.
const (
	tableEvent = iota
	tableExtremity
	tableTally
)

func roomSchema() eventlog.Schema {
	return eventlog.Schema{
		Name: "room",
		Tables: []eventlog.Table{
			tableEvent: {
				Name:    "event",
				Columns: []eventlog.Column{{Name: "event_id", Type: eventlog.Text}, {Name: "json", Type: eventlog.Bytes}},
				Key:     []string{"event_id"},
			},
			tableExtremity: {
				Name: "extremity",
				Columns: []eventlog.Column{
					{Name: "room", Type: eventlog.Int}, {Name: "event_ids", Type: eventlog.Text}, {Name: "soft", Type: eventlog.Bool},
				},
				Key: []string{"room"}, Update: []string{"event_ids", "soft"},
			},
			tableTally: {
				Name: "tally", Columns: []eventlog.Column{{Name: "room", Type: eventlog.Int}, {Name: "n", Type: eventlog.Int}, {Name: "last", Type: eventlog.Int}},
				Key: []string{"room"}, Update: []string{"n", "last"}, Add: []string{"n"},
			},
		},
		Doc: &eventlog.DocTable{Table: "event", Ref: "event_id", Column: "json"},
	}
}

func sideTables() sqldb.Migration {
	return sqldb.Migration{Name: "room", Files: fstest.MapFS{"0001_side.sql": {Data: []byte(`-- +goose Up
CREATE TABLE event (event_id TEXT COLLATE "C" NOT NULL PRIMARY KEY, json BYTEA NOT NULL);
CREATE TABLE extremity (room BIGINT PRIMARY KEY, event_ids TEXT, soft BOOLEAN NOT NULL);
CREATE TABLE tally (room BIGINT PRIMARY KEY, n BIGINT NOT NULL, last BIGINT NOT NULL);
`)}}}
}
