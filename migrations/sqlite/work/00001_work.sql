-- Work: rows that can be derived again from the log; see package work. Times are Unix microseconds, UTC.

-- +goose Up

-- A job is due at due_at. While lease_until lies ahead it belongs to whoever holds lease_token. Of the jobs of a kind that
-- share a group (not ''), only the first by (order_seq, key) is eligible.
CREATE TABLE jobs (
    kind        TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    group_key   TEXT    NOT NULL DEFAULT '',
    order_seq   INTEGER NOT NULL DEFAULT 0,
    due_at      INTEGER NOT NULL,
    attempt     INTEGER NOT NULL DEFAULT 0,
    payload     BLOB    NOT NULL,
    lease_until INTEGER NOT NULL DEFAULT 0,
    lease_token TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (kind, key)
) STRICT;

CREATE INDEX jobs_due ON jobs (kind, due_at, order_seq, key);
CREATE INDEX jobs_leased ON jobs (kind, lease_until) WHERE lease_until > 0;
CREATE INDEX jobs_group ON jobs (kind, group_key, order_seq, key) WHERE group_key <> '';

-- How far each consumer group has read a partition of the log.
CREATE TABLE checkpoints (
    consumer   TEXT    NOT NULL,
    partition  INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (consumer, partition)
) STRICT;

-- Answers given under an Idempotency-Key, for replaying them byte for byte.
CREATE TABLE answers (
    merchant   TEXT    NOT NULL,
    scope      TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    body_hash  TEXT    NOT NULL,
    status     INTEGER NOT NULL,
    body       BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (merchant, scope, key)
) STRICT;

CREATE INDEX answers_created ON answers (created_at);
