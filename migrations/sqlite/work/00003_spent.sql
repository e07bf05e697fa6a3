-- What may be used once and has been, until it could not be used any more anyhow; see package work. Times are Unix microseconds, UTC.

-- +goose Up

CREATE TABLE spent (
    id    TEXT    NOT NULL PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT;

CREATE INDEX spent_until ON spent (until);
