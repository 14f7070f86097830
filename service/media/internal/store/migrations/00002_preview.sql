-- +goose Up
-- Previews of web pages, at most one of a page in each slot of time: name is the SHA-256 of its address and the language that was asked
-- for. answer is what clients get as JSON; of a failure it is why. The picture in it is a media of nobody's, media_id, or ''. The
-- row goes at remove_ms.
CREATE TABLE preview (
    name         TEXT COLLATE "C" NOT NULL,
    slot         BIGINT NOT NULL,
    fetched_ms   BIGINT NOT NULL,
    remove_ms    BIGINT NOT NULL,
    failed       BOOLEAN NOT NULL,
    media_id     TEXT COLLATE "C" NOT NULL,
    media_bytes  BIGINT NOT NULL,
    answer_bytes BIGINT NOT NULL,
    answer       TEXT NOT NULL,
    PRIMARY KEY (name, slot)
);
-- With the sizes: all of them are added up now and then, without reading an answer.
CREATE INDEX preview_remove ON preview (remove_ms, answer_bytes, media_bytes);
CREATE INDEX preview_media ON preview (media_id) WHERE media_id <> '';
CREATE INDEX media_content ON media (blob_key) WHERE blob_key <> '';

-- When somebody last fetched it, to a day; 0 where that is not known.
ALTER TABLE media ADD COLUMN used_ms BIGINT NOT NULL DEFAULT 0;
CREATE INDEX media_used ON media (used_ms) WHERE blob_key <> '' AND user_id <> '';

-- +goose Down
DROP INDEX media_used;
ALTER TABLE media DROP COLUMN used_ms;
DROP INDEX media_content;
DROP TABLE preview;
