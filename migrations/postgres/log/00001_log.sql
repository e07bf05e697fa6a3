-- The log. Times are microseconds since 1970, UTC; the view events_json shows them as timestamps. Nothing in it is ever
-- updated or deleted. Every key starts with partition, so that the tables can be distributed by it.

-- +goose Up
CREATE TABLE ledger (
    one        integer NOT NULL PRIMARY KEY CHECK (one = 1),
    id         uuid    NOT NULL,
    partitions integer NOT NULL CHECK (partitions > 0)
);

-- One page, half empty, so that moving a head touches no index and is cleaned up on the way.
CREATE TABLE heads (
    partition   integer NOT NULL PRIMARY KEY,
    seq         bigint  NOT NULL,
    hash        bytea   NOT NULL,
    epoch       bigint  NOT NULL,
    recorded_at bigint           -- of the newest record; null in an empty partition
) WITH (fillfactor = 50);

CREATE TABLE events (
    partition        integer NOT NULL,
    seq              bigint  NOT NULL,
    version          bigint  NOT NULL,
    schema           bigint  NOT NULL,
    effective_at     bigint  NOT NULL,
    recorded_at      bigint  NOT NULL,
    event_id         uuid    NOT NULL,
    hash             bytea   NOT NULL,
    stream           text    COLLATE "C" NOT NULL,
    subject          text    COLLATE "C" NOT NULL,
    type             text    COLLATE "C" NOT NULL,
    dedupe_key       text    COLLATE "C" NOT NULL, -- keys joined by line feeds
    evidence_digests bytea   NOT NULL,             -- 32 bytes each
    data             bytea   NOT NULL,             -- JSON
    meta             bytea   NOT NULL,             -- JSON
    PRIMARY KEY (partition, seq)
);

CREATE INDEX events_stream  ON events (partition, stream, version);
CREATE INDEX events_subject ON events (partition, subject, seq);

CREATE TABLE evidence (
    partition  integer NOT NULL,
    seq        bigint  NOT NULL,
    n          integer NOT NULL,
    media_type text    NOT NULL,
    body       bytea   NOT NULL,
    PRIMARY KEY (partition, seq, n)
);

CREATE TABLE keys (
    partition integer NOT NULL,
    key       text    COLLATE "C" NOT NULL,
    seq       bigint  NOT NULL,
    PRIMARY KEY (partition, key)
);

CREATE VIEW events_json AS
SELECT partition, seq, stream, version, subject, type, schema, event_id,
       timestamptz 'epoch' + effective_at * interval '1 microsecond' AS effective_at,
       timestamptz 'epoch' + recorded_at * interval '1 microsecond' AS recorded_at,
       dedupe_key,
       convert_from(data, 'UTF8')::json AS data,
       convert_from(meta, 'UTF8')::json AS meta,
       encode(hash, 'hex') AS hash
FROM events;

-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log is append-only: % of % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
-- +goose StatementEnd

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON evidence
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A head moves forward only; its hash moves with it, except in an empty partition, which an import may adopt.
CREATE TRIGGER forward_only BEFORE UPDATE ON heads FOR EACH ROW
    WHEN (NEW.partition <> OLD.partition OR NEW.seq < OLD.seq OR NEW.epoch < OLD.epoch
        OR (NEW.seq = OLD.seq AND OLD.seq > 0 AND (NEW.hash <> OLD.hash OR NEW.recorded_at IS DISTINCT FROM OLD.recorded_at)))
    EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_deleted BEFORE DELETE ON heads FOR EACH ROW WHEN (OLD.seq > 0)
    EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_truncated BEFORE TRUNCATE ON heads
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The id and the number of partitions are fixed with the first record.
-- +goose StatementBegin
CREATE FUNCTION refuse_change_with_records() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM heads WHERE seq > 0) THEN
        RAISE EXCEPTION 'the log is append-only: its id and partitions are fixed' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

CREATE TRIGGER fixed BEFORE UPDATE ON ledger FOR EACH ROW
    EXECUTE FUNCTION refuse_change_with_records();
CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
