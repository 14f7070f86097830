-- +goose Up
-- The users who can be found: not those who are deactivated or locked, and no guests. shard is that of identity's log in which
-- they are. folded is the name as it is compared, shortened; '' for none.
CREATE TABLE person (
    user_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    shard   BIGINT NOT NULL,
    name    TEXT,
    avatar  TEXT,
    folded  TEXT COLLATE "C" NOT NULL
);
CREATE INDEX person_folded ON person (folded, user_id) WHERE folded <> '';
CREATE INDEX person_shard ON person (shard);

-- What a user is found by: whatever begins with a word that is searched for.
CREATE TABLE token (
    token   TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (token, user_id)
);
CREATE UNIQUE INDEX token_user ON token (user_id, token);

-- The rooms that there are. shard is that of the room log. A room is public where everybody may join it or read it.
CREATE TABLE room (
    room_id        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    shard          BIGINT NOT NULL,
    join_public    BOOLEAN NOT NULL,
    world_readable BOOLEAN NOT NULL
);
CREATE INDEX room_shard ON room (shard);

-- Who is joined where. public is the room's, so that one look tells whether somebody is in any public room.
CREATE TABLE member (
    user_id TEXT COLLATE "C" NOT NULL,
    room_id TEXT COLLATE "C" NOT NULL,
    public  BOOLEAN NOT NULL,
    PRIMARY KEY (user_id, room_id)
);
CREATE INDEX member_room ON member (room_id);
CREATE INDEX member_public ON member (user_id) WHERE public;
