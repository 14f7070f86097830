-- +goose Up
-- How often passwords failed lately: key is a hash of whose and from where, and at full_ms all failures so far will have been
-- forgotten.
CREATE TABLE login_failure (
    key     BYTEA PRIMARY KEY,
    full_ms BIGINT NOT NULL
);
CREATE INDEX login_failure_full ON login_failure (full_ms);

-- +goose Down
DROP TABLE login_failure;
