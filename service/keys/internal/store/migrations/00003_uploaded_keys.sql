-- +goose Up
-- The newest one-time keys that a device has uploaded, those that were claimed too: an upload that is repeated must not bring one
-- of them back. hash is that of the key, '' where it is not known: such a key counts as any other of its id. ordinal numbers the
-- keys of a device in the order in which they came.
CREATE TABLE uploaded_key (
    user_id   TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    algorithm TEXT COLLATE "C" NOT NULL,
    key_id    TEXT COLLATE "C" NOT NULL,
    ordinal   BIGINT NOT NULL,
    hash      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (user_id, device_id, algorithm, key_id)
);
CREATE INDEX uploaded_key_order ON uploaded_key (user_id, device_id, ordinal);
INSERT INTO uploaded_key (user_id, device_id, algorithm, key_id, ordinal, hash)
SELECT user_id, device_id, algorithm, key_id, ordinal, '' FROM one_time_key;
