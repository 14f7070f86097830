-- +goose Up
-- password_version grows when the password becomes another one, not when the same one is hashed anew: who has proven
-- who they are with a password of an older version has proven nothing.
ALTER TABLE account ADD COLUMN password_version BIGINT NOT NULL DEFAULT 0;

-- seed, with the refresh token that the pair was exchanged for, makes the pair, so that a repeated exchange answers the
-- same one. It is NULL once the pair is in use: nothing can make it again then.
ALTER TABLE token ADD COLUMN seed BYTEA;

-- +goose Down
ALTER TABLE token DROP COLUMN seed;
ALTER TABLE account DROP COLUMN password_version;
