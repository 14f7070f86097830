-- +goose Up
CREATE TABLE {cursor} (
	follower TEXT COLLATE "C" NOT NULL,
	shard BIGINT NOT NULL,
	position BIGINT NOT NULL,
	epoch BIGINT NOT NULL,
	PRIMARY KEY (follower, shard)
) WITH (fillfactor = 50); -- postgres
) WITHOUT ROWID;          -- sqlite
