-- +goose Up
-- The key that this server signs events with, in one row: all instances of the service sign with it.
CREATE TABLE signing_key (
    one    BIGINT PRIMARY KEY CHECK (one = 1),
    secret TEXT NOT NULL
);

-- +goose Down
DROP TABLE signing_key;
