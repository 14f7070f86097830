-- +goose Up
-- Users who are deactivated and have left their rooms. Requests of theirs may have been under way, so that at due_ms their
-- rooms are looked through once more.
CREATE TABLE departure (
    user_id TEXT COLLATE "C" PRIMARY KEY,
    due_ms  BIGINT NOT NULL
);
CREATE INDEX departure_due ON departure (due_ms);

-- +goose Down
DROP TABLE departure;
