-- +goose Up
CREATE TABLE {lease} (
	name TEXT COLLATE "C" PRIMARY KEY,
	holder TEXT COLLATE "C" NOT NULL,
	until_ms BIGINT NOT NULL
) WITH (fillfactor = 50); -- postgres
) WITHOUT ROWID;          -- sqlite
