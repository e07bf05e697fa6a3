-- Callbacks to merchants, and records that a consumer could not handle; see packages webhook and bus. Times are Unix
-- microseconds, UTC.

-- +goose Up

-- A delivery is one callback. While lease_until lies ahead, an attempt is under way, known by lease_token. Of a
-- merchant's pending deliveries about one subject only the first by (seq, id) is eligible.
CREATE TABLE deliveries (
    id           TEXT    NOT NULL PRIMARY KEY,
    merchant     TEXT    NOT NULL,
    subject      TEXT    NOT NULL, -- the transaction
    partition    INTEGER NOT NULL, -- position of the event
    seq          INTEGER NOT NULL,
    type         TEXT    NOT NULL, -- of the event
    status       TEXT    NOT NULL, -- of the transaction, as the callback tells it
    dialect      TEXT    NOT NULL,
    body         BLOB    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts     INTEGER NOT NULL DEFAULT 0,
    round_from   INTEGER NOT NULL DEFAULT 0, -- attempts made when the present round began: a resend begins one
    due_at       INTEGER NOT NULL,
    lease_until  INTEGER NOT NULL DEFAULT 0,
    lease_token  TEXT    NOT NULL DEFAULT '',
    created_at   INTEGER NOT NULL,
    delivered_at INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX deliveries_due ON deliveries (due_at, id) WHERE state = 'pending';
CREATE INDEX deliveries_order ON deliveries (merchant, subject, seq, id) WHERE state = 'pending';
CREATE INDEX deliveries_newest ON deliveries (created_at, id);
CREATE INDEX deliveries_merchant ON deliveries (merchant, created_at, id);

-- Every attempt of a delivery. finished_at is 0 while it is under way, and for ever if the process died meanwhile.
CREATE TABLE delivery_attempts (
    delivery    TEXT    NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    attempt     INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL DEFAULT 0,
    http_status INTEGER NOT NULL DEFAULT 0, -- 0: there was no answer
    latency_us  INTEGER NOT NULL DEFAULT 0,
    error       TEXT    NOT NULL DEFAULT '',
    answer      BLOB    NOT NULL, -- its first KB
    PRIMARY KEY (delivery, attempt)
) STRICT;

-- Records that were put out of a consumer's way.
CREATE TABLE poison (
    consumer  TEXT    NOT NULL,
    partition INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    event_id  TEXT    NOT NULL,
    type      TEXT    NOT NULL,
    reason    TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (consumer, partition, seq)
) STRICT;
