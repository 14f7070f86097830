-- +goose Up
-- The log's own tables (identity_stream, identity_shard, identity_entry, identity_latest, identity_txn, identity_meta)
-- are made by platform/eventlog. Times are milliseconds since 1970, 0 means never.

-- version grows with every change of the account and of the rows that belong to it. Who changes something compares
-- and swaps it, so that what was checked before is still true when it is written.
-- password is a PHC string, empty where nobody can log in with a password.
CREATE TABLE account (
    user_id         TEXT PRIMARY KEY,
    version         BIGINT NOT NULL,
    profile_version BIGINT NOT NULL,
    password        TEXT NOT NULL,
    admin           BOOLEAN NOT NULL,
    guest           BOOLEAN NOT NULL,
    locked          BOOLEAN NOT NULL,
    suspended       BOOLEAN NOT NULL,
    created_ms      BIGINT NOT NULL,
    deactivated_ms  BIGINT NOT NULL,
    erased          BOOLEAN NOT NULL
);

CREATE TABLE device (
    user_id      TEXT NOT NULL,
    device_id    TEXT NOT NULL,
    display_name TEXT,
    created_ms   BIGINT NOT NULL,
    last_seen_ms BIGINT NOT NULL,
    last_seen_ip TEXT NOT NULL,
    PRIMARY KEY (user_id, device_id)
);

-- An access token and the refresh token that was issued with it, as SHA-256 of what the client has.
-- parent is the pair that this one replaces as soon as it is used, empty from then on.
-- A revoked pair is kept until the next one is, to tell its late user that only the token is gone, not the device.
CREATE TABLE token (
    token_id           TEXT PRIMARY KEY,
    user_id            TEXT NOT NULL,
    device_id          TEXT NOT NULL,
    access_hash        BYTEA NOT NULL,
    refresh_hash       BYTEA,
    created_ms         BIGINT NOT NULL,
    expires_ms         BIGINT NOT NULL,
    refresh_expires_ms BIGINT NOT NULL,
    parent             TEXT NOT NULL,
    revoked            BOOLEAN NOT NULL
);
CREATE UNIQUE INDEX token_access ON token (access_hash);
CREATE UNIQUE INDEX token_refresh ON token (refresh_hash);
CREATE INDEX token_device ON token (user_id, device_id);

-- action is what the session is for. params is the hash of the request's parameters, NULL until a stage is complete.
CREATE TABLE uia_session (
    session_id TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL,
    action     TEXT NOT NULL,
    params     BYTEA,
    completed  TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX uia_session_user ON uia_session (user_id, created_ms);
CREATE INDEX uia_session_expires ON uia_session (expires_ms);

CREATE TABLE login_token (
    hash       BYTEA PRIMARY KEY,
    user_id    TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX login_token_user ON login_token (user_id, created_ms);

-- uses_allowed is NULL where the token may be used any number of times.
CREATE TABLE registration_token (
    token        TEXT PRIMARY KEY,
    uses_allowed BIGINT,
    uses         BIGINT NOT NULL,
    created_ms   BIGINT NOT NULL,
    expires_ms   BIGINT NOT NULL
);

-- The nonces of shared-secret registration that were used, until they expire.
CREATE TABLE used_nonce (
    nonce      TEXT PRIMARY KEY,
    expires_ms BIGINT NOT NULL
);

-- value is JSON.
CREATE TABLE profile_field (
    user_id TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (user_id, name)
);

-- +goose Down
DROP TABLE profile_field;
DROP TABLE used_nonce;
DROP TABLE registration_token;
DROP TABLE login_token;
DROP TABLE uia_session;
DROP TABLE token;
DROP TABLE device;
DROP TABLE account;
