-- What trails the commit: it can be made again from the events. See package index.

-- +goose Up

-- How far the index reaches: all records up to seq, which has that hash, are in its runs.
CREATE TABLE index_checkpoints (
    partition INTEGER NOT NULL PRIMARY KEY,
    seq       INTEGER NOT NULL,
    hash      BLOB    NOT NULL
);

-- A run is a sorted part of the index, for the records behind from_seq up to to_seq. state: 0 while its pages are being written,
-- 1 in use, 2 merged into another one. Its pages are numbered from run * 2^20 on.
CREATE TABLE index_runs (
    partition INTEGER NOT NULL,
    run       INTEGER NOT NULL,
    state     INTEGER NOT NULL,
    made_at   INTEGER NOT NULL,
    from_seq  INTEGER NOT NULL,
    to_seq    INTEGER NOT NULL,
    level     INTEGER NOT NULL,
    entries   INTEGER NOT NULL,
    names     INTEGER NOT NULL,
    digest    INTEGER NOT NULL,
    pages     INTEGER NOT NULL,
    extra     INTEGER NOT NULL,
    PRIMARY KEY (partition, run)
);

CREATE TABLE index_pages (
    partition INTEGER NOT NULL,
    page      INTEGER NOT NULL,
    body      BLOB    NOT NULL,
    PRIMARY KEY (partition, page)
);

-- The state of a long stream as of a position. It is believed only where the record there has that hash.
CREATE TABLE snapshots (
    partition INTEGER NOT NULL,
    stream    TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    hash      BLOB    NOT NULL,
    version   INTEGER NOT NULL,
    fold      INTEGER NOT NULL,
    state     BLOB    NOT NULL,
    PRIMARY KEY (partition, stream)
);

-- The indexes that every commit carried until now.
DROP INDEX events_stream;
DROP INDEX events_subject;
DROP TABLE keys;
