-- +goose Up
-- The log's own tables (room_stream, room_shard, room_entry, room_latest, room_txn) are made by platform/eventlog.
-- "room" is the number of the room's stream there. Texts have the log's order, byte by byte: PostgreSQL uses no index to
-- compare two columns whose orders differ.

CREATE TABLE room (
    room       BIGINT PRIMARY KEY,
    room_id    TEXT COLLATE "C" NOT NULL UNIQUE,
    version    TEXT COLLATE "C" NOT NULL,
    creator    TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    visibility TEXT COLLATE "C" NOT NULL DEFAULT 'private'
);

-- room and seq are where the event stands in its room's order; NULL for one that only is known of.
-- flags: 1 redacted.
CREATE TABLE event (
    event_id TEXT COLLATE "C" PRIMARY KEY,
    json     BYTEA NOT NULL,
    depth    BIGINT NOT NULL,
    flags    BIGINT NOT NULL DEFAULT 0,
    room     BIGINT,
    seq      BIGINT
);

-- State at any point is, for each key, the delta with the greatest seq at or before it.
CREATE TABLE state_delta (
    room      BIGINT NOT NULL,
    type      TEXT COLLATE "C" NOT NULL,
    state_key TEXT COLLATE "C" NOT NULL,
    seq       BIGINT NOT NULL,
    event_id  TEXT COLLATE "C",
    PRIMARY KEY (room, type, state_key, seq)
);
-- What changed in a range of a room's order: lets a gap cost what changed in it.
CREATE INDEX state_delta_seq ON state_delta (room, seq);

-- The newest delta of each key. Every append that inserts a state_delta row upserts this row as well, so that the
-- current state costs as much as it is large, whatever the history.
CREATE TABLE state_current (
    room      BIGINT NOT NULL,
    type      TEXT COLLATE "C" NOT NULL,
    state_key TEXT COLLATE "C" NOT NULL,
    seq       BIGINT NOT NULL,
    event_id  TEXT COLLATE "C",
    PRIMARY KEY (room, type, state_key)
);

-- The forward extremities, a row a room: event ids as a JSON array, the greatest depth, and the sequence number of
-- the room as of which they are: it is written by every append, so one snapshot of this table and state_current is a
-- room's state at a known seq.
CREATE TABLE room_extremity (
    room      BIGINT PRIMARY KEY,
    event_ids TEXT COLLATE "C" NOT NULL,
    depth     BIGINT NOT NULL,
    seq       BIGINT NOT NULL
);

-- The current membership, rebuilt from state_delta if it must be, and up to which seq the user has forgotten the room: 0 if
-- they never did.
CREATE TABLE membership (
    user_id    TEXT COLLATE "C" NOT NULL,
    room       BIGINT NOT NULL,
    membership TEXT COLLATE "C" NOT NULL,
    event_id   TEXT COLLATE "C" NOT NULL,
    seq        BIGINT NOT NULL,
    sender     TEXT COLLATE "C" NOT NULL,
    forgotten  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, room)
);
CREATE INDEX membership_room ON membership (room, membership, seq, user_id);

-- How events relate to others, until they are redacted: content.m.relates_to of the event seq.
CREATE TABLE event_relation (
    room     BIGINT NOT NULL,
    target   TEXT COLLATE "C" NOT NULL,
    seq      BIGINT NOT NULL,
    rel_type TEXT COLLATE "C" NOT NULL,
    sender   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (room, target, seq)
);

CREATE TABLE room_alias (
    alias      TEXT COLLATE "C" PRIMARY KEY,
    room       BIGINT NOT NULL,
    creator    TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX room_alias_room ON room_alias (room);

-- +goose Down
DROP TABLE room_alias;
DROP TABLE event_relation;
DROP TABLE membership;
DROP TABLE room_extremity;
DROP TABLE state_current;
DROP TABLE state_delta;
DROP TABLE event;
DROP TABLE room;
