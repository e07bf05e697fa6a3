-- The log. Times are microseconds since 1970, UTC. Nothing in it is ever updated or deleted.

-- +goose Up
PRAGMA application_id = 1263029319; -- "KHLG": marks the file as a log

CREATE TABLE ledger (
    one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    id         TEXT    NOT NULL,
    partitions INTEGER NOT NULL CHECK (partitions > 0)
);

CREATE TABLE heads (
    partition   INTEGER NOT NULL PRIMARY KEY,
    seq         INTEGER NOT NULL,
    hash        BLOB    NOT NULL,
    epoch       INTEGER NOT NULL,
    recorded_at INTEGER          -- of the newest record; null in an empty partition
);

CREATE TABLE events (
    partition        INTEGER NOT NULL,
    seq              INTEGER NOT NULL,
    stream           TEXT    NOT NULL,
    version          INTEGER NOT NULL,
    subject          TEXT    NOT NULL,
    type             TEXT    NOT NULL,
    schema           INTEGER NOT NULL,
    event_id         BLOB    NOT NULL,
    effective_at     INTEGER NOT NULL,
    recorded_at      INTEGER NOT NULL,
    dedupe_key       TEXT    NOT NULL, -- keys joined by line feeds
    data             TEXT    NOT NULL, -- JSON
    meta             TEXT    NOT NULL, -- JSON
    evidence_digests BLOB    NOT NULL, -- 32 bytes each
    hash             BLOB    NOT NULL,
    PRIMARY KEY (partition, seq)
);

CREATE INDEX events_stream  ON events (partition, stream, version);
CREATE INDEX events_subject ON events (partition, subject, seq);

CREATE TABLE evidence (
    partition  INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    n          INTEGER NOT NULL,
    media_type TEXT    NOT NULL,
    body       BLOB    NOT NULL,
    PRIMARY KEY (partition, seq, n)
) WITHOUT ROWID;

CREATE TABLE keys (
    partition INTEGER NOT NULL,
    key       TEXT    NOT NULL,
    seq       INTEGER NOT NULL,
    PRIMARY KEY (partition, key)
) WITHOUT ROWID;

-- Records are inserted behind the head, which moves last: so REPLACE, for which SQLite runs no delete trigger, cannot
-- change one that is committed. They roll back rather than abort: to be able to abort, SQLite would journal each statement.
-- +goose StatementBegin
CREATE TRIGGER events_insert BEFORE INSERT ON events
WHEN NEW.seq <= (SELECT seq FROM heads WHERE partition = NEW.partition)
BEGIN SELECT RAISE(ROLLBACK, 'the log is append-only: events are only added behind the head'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER evidence_insert BEFORE INSERT ON evidence
WHEN NEW.seq <= (SELECT seq FROM heads WHERE partition = NEW.partition)
BEGIN SELECT RAISE(ROLLBACK, 'the log is append-only: evidence is only added behind the head'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER keys_insert BEFORE INSERT ON keys
WHEN EXISTS (SELECT 1 FROM keys WHERE partition = NEW.partition AND key = NEW.key)
BEGIN SELECT RAISE(ROLLBACK, 'the log is append-only: a dedupe key is taken once'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER events_update BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the log is append-only: events are never updated'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER events_delete BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the log is append-only: events are never deleted'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER evidence_update BEFORE UPDATE ON evidence
BEGIN SELECT RAISE(ABORT, 'the log is append-only: evidence is never updated'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER evidence_delete BEFORE DELETE ON evidence
BEGIN SELECT RAISE(ABORT, 'the log is append-only: evidence is never deleted'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER keys_update BEFORE UPDATE ON keys
BEGIN SELECT RAISE(ABORT, 'the log is append-only: keys are never updated'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER keys_delete BEFORE DELETE ON keys
BEGIN SELECT RAISE(ABORT, 'the log is append-only: keys are never deleted'); END;
-- +goose StatementEnd

-- REPLACE fires no delete trigger: what it would replace is refused before.
-- +goose StatementBegin
CREATE TRIGGER heads_insert BEFORE INSERT ON heads
WHEN NEW.seq <> 0 OR EXISTS (SELECT 1 FROM heads WHERE partition = NEW.partition AND seq > 0)
BEGIN SELECT RAISE(ROLLBACK, 'the log is append-only: a head only moves forward'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER ledger_insert BEFORE INSERT ON ledger WHEN EXISTS (SELECT 1 FROM ledger)
BEGIN SELECT RAISE(ROLLBACK, 'the log is append-only: its id and partitions are fixed'); END;
-- +goose StatementEnd

-- A head moves forward only; its hash moves with it, except in an empty partition, which an import may adopt.
-- +goose StatementBegin
CREATE TRIGGER heads_forward BEFORE UPDATE ON heads
WHEN NEW.partition <> OLD.partition OR NEW.seq < OLD.seq OR NEW.epoch < OLD.epoch
    OR (NEW.seq = OLD.seq AND OLD.seq > 0 AND (NEW.hash <> OLD.hash OR NEW.recorded_at IS NOT OLD.recorded_at))
BEGIN SELECT RAISE(ABORT, 'the log is append-only: a head only moves forward'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER heads_delete BEFORE DELETE ON heads WHEN OLD.seq > 0
BEGIN SELECT RAISE(ABORT, 'the log is append-only: a head is never deleted'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER ledger_update BEFORE UPDATE ON ledger WHEN EXISTS (SELECT 1 FROM heads WHERE seq > 0)
BEGIN SELECT RAISE(ABORT, 'the log is append-only: its id and partitions are fixed'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER ledger_delete BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'the log is append-only: its id and partitions are fixed'); END;
-- +goose StatementEnd
