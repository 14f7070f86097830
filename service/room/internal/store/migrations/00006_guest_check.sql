-- +goose Up
-- Rooms that were closed to guests by the event at seq. Guests who are still in them are made to leave.
CREATE TABLE guest_check (
    room BIGINT PRIMARY KEY,
    seq  BIGINT NOT NULL
);

-- +goose Down
DROP TABLE guest_check;
