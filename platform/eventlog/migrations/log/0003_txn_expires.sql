-- +goose Up
-- Unix milliseconds; 0 is never.
ALTER TABLE {log}_txn ADD COLUMN expires BIGINT NOT NULL DEFAULT 0;
CREATE INDEX {log}_txn_expires ON {log}_txn (expires) WHERE expires > 0;
