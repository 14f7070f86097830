-- +goose Up
-- Who has or had backups. All that writes to a user's backups locks the row first. Versions and sets of keys are numbered
-- on for ever: no number is used again after what it stood for was deleted.
CREATE TABLE backup_owner (
    user_id      TEXT COLLATE "C" PRIMARY KEY,
    last_version BIGINT NOT NULL,
    last_keyset  BIGINT NOT NULL
);

-- The user's current version is the greatest. key_count and key_bytes are what is in the set of keys: how many, and how long
-- their session_data is in bytes. etag counts the changes of keys. request is the gateway's key of the request that made the
-- version, so that its repetition makes no other; "" without one.
CREATE TABLE backup_version (
    user_id   TEXT COLLATE "C" NOT NULL,
    version   BIGINT NOT NULL,
    algorithm TEXT COLLATE "C" NOT NULL,
    auth_data TEXT NOT NULL,
    request   TEXT COLLATE "C" NOT NULL,
    keyset    BIGINT NOT NULL,
    key_count BIGINT NOT NULL,
    key_bytes BIGINT NOT NULL,
    etag      BIGINT NOT NULL,
    PRIMARY KEY (user_id, version)
);

-- unverified is 0 where is_verified is true: of two keys of a session the better one has the lower
-- (unverified, first_message_index, forwarded_count).
CREATE TABLE backup_key (
    user_id             TEXT COLLATE "C" NOT NULL,
    keyset              BIGINT NOT NULL,
    room_id             TEXT COLLATE "C" NOT NULL,
    session_id          TEXT COLLATE "C" NOT NULL,
    unverified          BIGINT NOT NULL,
    first_message_index BIGINT NOT NULL,
    forwarded_count     BIGINT NOT NULL,
    session_data        TEXT NOT NULL,
    PRIMARY KEY (user_id, keyset, room_id, session_id)
);

-- Sets of keys that no version has any more: nobody reads or writes them, and their keys are removed bit by bit.
CREATE TABLE backup_dropped (
    user_id TEXT COLLATE "C" NOT NULL,
    keyset  BIGINT NOT NULL,
    PRIMARY KEY (user_id, keyset)
);

-- +goose Down
DROP TABLE backup_dropped;
DROP TABLE backup_key;
DROP TABLE backup_version;
DROP TABLE backup_owner;
