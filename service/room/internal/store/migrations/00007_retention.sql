-- +goose Up
-- How far a room's expired messages are removed. Nothing of the room expires before check_ms; a change of its m.room.retention makes
-- that less than 0, of another value each time. Up to cleared no event is left but state events. kept is the room's newest event if
-- that has expired, which goes once there is a newer one; 0 otherwise. purged is the sequence number of the newest event that was ever
-- removed, purged_ms the latest time before which any were. purges counts removals, told those that followers were told of.
ALTER TABLE room ADD COLUMN check_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE room ADD COLUMN cleared BIGINT NOT NULL DEFAULT 0;
ALTER TABLE room ADD COLUMN kept BIGINT NOT NULL DEFAULT 0;
ALTER TABLE room ADD COLUMN purged BIGINT NOT NULL DEFAULT 0;
ALTER TABLE room ADD COLUMN purged_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE room ADD COLUMN purges BIGINT NOT NULL DEFAULT 0;
ALTER TABLE room ADD COLUMN told BIGINT NOT NULL DEFAULT 0;
CREATE INDEX room_check ON room (check_ms, room);
CREATE INDEX room_kept ON room (room) WHERE kept > 0;
CREATE INDEX room_untold ON room (room) WHERE told < purges;

-- The settings by which rooms were checked. When they are others, all rooms are checked anew.
CREATE TABLE retention (
    one      BIGINT PRIMARY KEY CHECK (one = 1),
    settings TEXT COLLATE "C" NOT NULL
);

-- Rooms that are being removed: unknown to everybody already, while what is left of them goes.
CREATE TABLE room_removal (
    room    BIGINT PRIMARY KEY,
    room_id TEXT COLLATE "C" NOT NULL UNIQUE,
    seq     BIGINT NOT NULL
);

-- Who had left a room that was removed, with the place of the event by which they did: clients that were away are to hear of it.
-- The rows go after some weeks.
CREATE TABLE room_left (
    user_id    TEXT COLLATE "C" NOT NULL,
    room       BIGINT NOT NULL,
    membership TEXT COLLATE "C" NOT NULL,
    seq        BIGINT NOT NULL,
    position   BIGINT NOT NULL,
    sender     TEXT COLLATE "C" NOT NULL,
    removed_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, room)
);
CREATE INDEX room_left_removed ON room_left (removed_ms);

-- +goose Down
DROP TABLE room_left;
DROP TABLE room_removal;
DROP TABLE retention;
DROP INDEX room_untold;
DROP INDEX room_kept;
DROP INDEX room_check;
ALTER TABLE room DROP COLUMN told;
ALTER TABLE room DROP COLUMN purges;
ALTER TABLE room DROP COLUMN purged_ms;
ALTER TABLE room DROP COLUMN purged;
ALTER TABLE room DROP COLUMN kept;
ALTER TABLE room DROP COLUMN cleared;
ALTER TABLE room DROP COLUMN check_ms;
