-- +goose Up
-- The tables of the two logs (keys_stream, …, device_list_stream, …) are made by platform/eventlog.

-- Which device the rows of a device belong to: created_ms, as identity knows it, tells it from an earlier one of the same id.
-- removed_ms is when its removal was followed, 0 while it is there: what an upload that was under way then would write is refused.
CREATE TABLE device (
    user_id    TEXT COLLATE "C" NOT NULL,
    device_id  TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    removed_ms BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, device_id)
);
CREATE INDEX device_removed ON device (removed_ms) WHERE removed_ms > 0;

-- json is the object as it was uploaded, canonical, without "unsigned".
CREATE TABLE device_key (
    user_id   TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    json      BYTEA NOT NULL,
    PRIMARY KEY (user_id, device_id)
);

-- usage: master, self_signing, user_signing. public_key is unpadded Base64.
CREATE TABLE cross_signing_key (
    user_id    TEXT COLLATE "C" NOT NULL,
    usage      TEXT COLLATE "C" NOT NULL,
    public_key TEXT COLLATE "C" NOT NULL,
    json       BYTEA NOT NULL,
    PRIMARY KEY (user_id, usage)
);

-- Signatures that were uploaded after the key that they sign. key_id is a device id or the public key of a cross-signing
-- key; signer_key is ALGORITHM:ID.
CREATE TABLE key_signature (
    user_id    TEXT COLLATE "C" NOT NULL,
    key_id     TEXT COLLATE "C" NOT NULL,
    signer     TEXT COLLATE "C" NOT NULL,
    signer_key TEXT COLLATE "C" NOT NULL,
    signature  TEXT NOT NULL,
    PRIMARY KEY (user_id, key_id, signer, signer_key)
);
CREATE INDEX key_signature_signer ON key_signature (signer, signer_key);

-- ordinal is the same for keys of one upload and grows from one to the next.
CREATE TABLE one_time_key (
    user_id   TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    algorithm TEXT COLLATE "C" NOT NULL,
    key_id    TEXT COLLATE "C" NOT NULL,
    ordinal   BIGINT NOT NULL,
    json      BYTEA NOT NULL,
    PRIMARY KEY (user_id, device_id, algorithm, key_id)
);
CREATE INDEX one_time_key_order ON one_time_key (user_id, device_id, algorithm, ordinal, key_id);

CREATE TABLE fallback_key (
    user_id   TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    algorithm TEXT COLLATE "C" NOT NULL,
    key_id    TEXT COLLATE "C" NOT NULL,
    json      BYTEA NOT NULL,
    used      BOOLEAN NOT NULL,
    PRIMARY KEY (user_id, device_id, algorithm)
);
