-- +goose Up
-- What a room is called and who may enter, for those who look for rooms; written by the appends that change it. search is
-- what the directory is searched in, profile what it shows, JSON.
CREATE TABLE room_profile (
    room    BIGINT PRIMARY KEY,
    search  TEXT COLLATE "C" NOT NULL,
    profile BYTEA NOT NULL
);

-- The room's place in the directory, apart from its profile, since every join and leave writes it. rank is the number of
-- its joined members, negated, so that the directory's order is that of one index.
CREATE TABLE room_listing (
    room      BIGINT PRIMARY KEY,
    room_id   TEXT COLLATE "C" NOT NULL,
    rank      BIGINT NOT NULL,
    published BIGINT NOT NULL,
    room_type TEXT COLLATE "C" NOT NULL
);
CREATE INDEX room_listing_order ON room_listing (rank, room_id, room_type, room) WHERE published = 1 AND rank < 0;

-- +goose Down
DROP TABLE room_listing;
DROP TABLE room_profile;
