-- +goose Up
-- Media by the id in their mxc:// URI. blob_key is '' while nothing was uploaded: then the id expires at expires_ms, 0 for never.
CREATE TABLE media (
    media_id     TEXT COLLATE "C" PRIMARY KEY,
    user_id      TEXT COLLATE "C" NOT NULL,
    created_ms   BIGINT NOT NULL,
    expires_ms   BIGINT NOT NULL,
    blob_key     TEXT COLLATE "C" NOT NULL,
    content_type TEXT NOT NULL,
    file_name    TEXT NOT NULL
);
CREATE INDEX media_unused ON media (user_id) WHERE blob_key = '';
CREATE INDEX media_unused_expires ON media (expires_ms) WHERE blob_key = '' AND expires_ms > 0;

-- Content, once each: sha256 is hexadecimal, blob_key where the blob store has it, uses how many media have it.
CREATE TABLE content (
    blob_key TEXT COLLATE "C" PRIMARY KEY,
    sha256   TEXT COLLATE "C" NOT NULL UNIQUE,
    size     BIGINT NOT NULL,
    uses     BIGINT NOT NULL
);

-- Thumbnails of content by what was asked for, which is one of the configured sizes. thumbnail_key is where the blob store has it.
CREATE TABLE thumbnail (
    blob_key      TEXT COLLATE "C" NOT NULL,
    width         BIGINT NOT NULL,
    height        BIGINT NOT NULL,
    method        TEXT COLLATE "C" NOT NULL,
    thumbnail_key TEXT COLLATE "C" NOT NULL,
    content_type  TEXT NOT NULL,
    size          BIGINT NOT NULL,
    PRIMARY KEY (blob_key, width, height, method)
);

-- Keys under which the blob store may have something that nobody uses: what is being written, and what is to be removed. It goes
-- after due_ms. One that is being removed is not used any more.
CREATE TABLE loose_blob (
    blob_key TEXT COLLATE "C" PRIMARY KEY,
    due_ms   BIGINT NOT NULL,
    removing BOOLEAN NOT NULL
);
CREATE INDEX loose_blob_due ON loose_blob (due_ms);

-- What users have uploaded: in all, as far as it is there, and on one day (days since 1970, UTC). All that changes a user's media
-- locks the row first.
CREATE TABLE uploader (
    user_id   TEXT COLLATE "C" PRIMARY KEY,
    bytes     BIGINT NOT NULL,
    day       BIGINT NOT NULL,
    day_bytes BIGINT NOT NULL
);

-- +goose Down
DROP TABLE uploader;
DROP TABLE loose_blob;
DROP TABLE thumbnail;
DROP TABLE content;
DROP TABLE media;
