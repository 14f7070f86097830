-- +goose Up
CREATE TABLE {log}_meta (
	one BIGINT PRIMARY KEY CHECK (one = 1),
	epoch BIGINT NOT NULL,
	shards BIGINT NOT NULL
);

-- The sequence of every stream is updated in place with every append: PostgreSQL wants room for that on the page.
CREATE TABLE {log}_stream (
	stream BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- postgres
	stream INTEGER PRIMARY KEY,                             -- sqlite
	name TEXT COLLATE "C" NOT NULL UNIQUE,
	shard BIGINT NOT NULL,
	seq BIGINT NOT NULL
) WITH (fillfactor = 50); -- postgres
);                        -- sqlite

CREATE TABLE {log}_shard (
	shard BIGINT PRIMARY KEY,
	head BIGINT NOT NULL
) WITH (fillfactor = 10); -- postgres
);                        -- sqlite

CREATE TABLE {log}_entry (
	shard BIGINT NOT NULL,
	position BIGINT NOT NULL,
	stream BIGINT NOT NULL,
	seq BIGINT NOT NULL,
	kind BIGINT NOT NULL,
	ref TEXT COLLATE "C" NOT NULL,
	body BYTEA NOT NULL,
	PRIMARY KEY (shard, position)
);               -- postgres
) WITHOUT ROWID; -- sqlite
CREATE UNIQUE INDEX {log}_entry_seq ON {log}_entry (stream, seq);
{if refs}CREATE UNIQUE INDEX {log}_entry_ref ON {log}_entry (ref);

CREATE TABLE {log}_latest (
	stream BIGINT NOT NULL,
	key TEXT COLLATE "C" NOT NULL,
	kind BIGINT NOT NULL,
	body BYTEA NOT NULL,
	shard BIGINT NOT NULL,
	position BIGINT NOT NULL,
	PRIMARY KEY (stream, key)
);               -- postgres
) WITHOUT ROWID; -- sqlite
CREATE UNIQUE INDEX {log}_latest_position ON {log}_latest (shard, position);
-- A reader asks what is newer in one stream, however many keys it has.
CREATE INDEX {log}_latest_stream ON {log}_latest (stream, position);

-- On SQLite with row ids, unlike the others: the keys come in no order, and an index of them alone has fewer pages to change
-- than one that holds the responses too.
CREATE TABLE {log}_txn (
	scope TEXT COLLATE "C" NOT NULL,
	id TEXT COLLATE "C" NOT NULL,
	response BYTEA NOT NULL,
	PRIMARY KEY (scope, id)
);
