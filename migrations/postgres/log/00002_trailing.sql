-- What trails the commit: it can be made again from the events. See package index.

-- +goose Up

-- How far the index reaches: all records up to seq, which has that hash, are in its runs.
CREATE TABLE index_checkpoints (
    partition integer NOT NULL PRIMARY KEY,
    seq       bigint  NOT NULL,
    hash      bytea   NOT NULL
);

-- A run is a sorted part of the index, for the records behind from_seq up to to_seq. state: 0 while its pages are being written,
-- 1 in use, 2 merged into another one. Its pages are numbered from run * 2^20 on.
CREATE TABLE index_runs (
    partition integer NOT NULL,
    run       bigint  NOT NULL,
    state     integer NOT NULL,
    made_at   bigint  NOT NULL,
    from_seq  bigint  NOT NULL,
    to_seq    bigint  NOT NULL,
    level     integer NOT NULL,
    entries   bigint  NOT NULL,
    names     bigint  NOT NULL,
    digest    bigint  NOT NULL,
    pages     bigint  NOT NULL,
    extra     bigint  NOT NULL,
    PRIMARY KEY (partition, run)
);

CREATE TABLE index_pages (
    partition integer NOT NULL,
    page      bigint  NOT NULL,
    body      bytea   NOT NULL,
    PRIMARY KEY (partition, page)
);
-- A body is dense already, and fits a page of the table.
ALTER TABLE index_pages ALTER COLUMN body SET STORAGE PLAIN;

-- The state of a long stream as of a position. It is believed only where the record there has that hash.
CREATE TABLE snapshots (
    partition integer NOT NULL,
    stream    text    COLLATE "C" NOT NULL,
    seq       bigint  NOT NULL,
    hash      bytea   NOT NULL,
    version   bigint  NOT NULL,
    fold      bigint  NOT NULL,
    state     bytea   NOT NULL,
    PRIMARY KEY (partition, stream)
);

-- The compare-and-swap of an append. It locks the head in a statement of its own: what the next one sees is from behind the lock.
-- +goose StatementBegin
CREATE FUNCTION move_head(of integer, from_seq bigint, from_hash bytea, from_epoch bigint, to_seq bigint, to_hash bytea, at bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    head heads;
BEGIN
    SELECT * INTO head FROM heads WHERE partition = of FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no partition %', of USING ERRCODE = 'KH003';
    ELSIF head.epoch <> from_epoch THEN
        RAISE EXCEPTION 'partition % is at epoch %, not %', of, head.epoch, from_epoch USING ERRCODE = 'KH002';
    ELSIF head.seq <> from_seq OR head.hash <> from_hash THEN
        RAISE EXCEPTION 'partition % is at %, not at %', of, head.seq, from_seq USING ERRCODE = 'KH001';
    END IF;
    UPDATE heads SET seq = to_seq, hash = to_hash, recorded_at = at WHERE partition = of;
END $$;
-- +goose StatementEnd

-- The indexes that every commit carried until now.
DROP INDEX events_stream;
DROP INDEX events_subject;
DROP TABLE keys;
