-- +goose Up
-- What reads of relations go by. event_type and ts are of the event that relates. detail is what else its relation says: the
-- key of an m.annotation (a hash of a long one), and 'new' for an m.replace that brings new content.
ALTER TABLE event_relation ADD COLUMN event_type TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE event_relation ADD COLUMN ts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE event_relation ADD COLUMN detail TEXT COLLATE "C" NOT NULL DEFAULT '';

-- Events with an escaped NUL stay without: PostgreSQL reads none of these.
UPDATE event_relation AS r SET
    event_type = COALESCE(v.e->>'type', ''),                            -- postgres
    ts = COALESCE(CAST(v.e->>'origin_server_ts' AS BIGINT), 0),         -- postgres
    detail = COALESCE(CASE                                              -- postgres
        WHEN v.e->>'state_key' IS NOT NULL THEN ''                      -- postgres
        WHEN r.rel_type = 'm.annotation' AND octet_length(v.e->'content'->'m.relates_to'->>'key') <= 255 -- postgres
            THEN v.e->'content'->'m.relates_to'->>'key'                 -- postgres
        WHEN r.rel_type = 'm.replace' AND (v.e->>'type' = 'm.room.encrypted' OR json_typeof(v.e->'content'->'m.new_content') = 'object') -- postgres
            THEN 'new' END, '')                                         -- postgres
FROM (SELECT room, seq, CASE WHEN position('\u0000' in convert_from(json, 'UTF8')) = 0 -- postgres
      THEN CAST(convert_from(json, 'UTF8') AS json) END AS e FROM event WHERE room IS NOT NULL) v -- postgres
    event_type = COALESCE(json_extract(v.e, '$.type'), ''),             -- sqlite
    ts = COALESCE(json_extract(v.e, '$.origin_server_ts'), 0),          -- sqlite
    detail = COALESCE(CASE                                              -- sqlite
        WHEN json_extract(v.e, '$.state_key') IS NOT NULL THEN ''       -- sqlite
        WHEN r.rel_type = 'm.annotation' AND length(CAST(json_extract(v.e, '$.content."m.relates_to".key') AS BLOB)) <= 255 -- sqlite
            THEN json_extract(v.e, '$.content."m.relates_to".key')      -- sqlite
        WHEN r.rel_type = 'm.replace' AND (json_extract(v.e, '$.type') = 'm.room.encrypted' OR json_type(v.e, '$.content."m.new_content"') = 'object') -- sqlite
            THEN 'new' END, '')                                         -- sqlite
FROM (SELECT room, seq, CAST(json AS TEXT) AS e FROM event WHERE room IS NOT NULL) v -- sqlite
WHERE v.room = r.room AND v.seq = r.seq;

CREATE INDEX event_relation_type ON event_relation (room, target, rel_type, seq);
CREATE INDEX event_relation_sender ON event_relation (room, target, rel_type, sender, event_type, detail, ts);

-- The threads of a room: how many events are in them, redacted ones left out, and where the newest of these stands. One that
-- has none any more stays, with 0.
CREATE TABLE thread (
    room    BIGINT NOT NULL,
    root    TEXT COLLATE "C" NOT NULL,
    replies BIGINT NOT NULL,
    latest  BIGINT NOT NULL,
    PRIMARY KEY (room, root)
);
CREATE INDEX thread_latest ON thread (room, latest);

INSERT INTO thread (room, root, replies, latest)
SELECT r.room, r.target, count(*), max(r.seq) FROM event_relation r JOIN event v ON v.event_id = r.target AND v.room = r.room
WHERE r.rel_type = 'm.thread' GROUP BY r.room, r.target;

-- What users have reported: a room, an event of it with its sender, or a user. What it does not name is empty.
CREATE TABLE report (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- postgres
    id          INTEGER PRIMARY KEY AUTOINCREMENT,               -- sqlite
    received_ms BIGINT NOT NULL,
    reporter    TEXT COLLATE "C" NOT NULL,
    room_id     TEXT COLLATE "C" NOT NULL,
    event_id    TEXT COLLATE "C" NOT NULL,
    user_id     TEXT COLLATE "C" NOT NULL,
    reason      TEXT COLLATE "C" NOT NULL
);
CREATE INDEX report_reporter ON report (reporter, id);

-- +goose Down
DROP TABLE report;
DROP TABLE thread;
DROP INDEX event_relation_sender;
DROP INDEX event_relation_type;
ALTER TABLE event_relation DROP COLUMN detail;
ALTER TABLE event_relation DROP COLUMN ts;
ALTER TABLE event_relation DROP COLUMN event_type;
