-- Messages of payment companies that are kept: see package gateway. Times are Unix microseconds, UTC.

-- +goose Up

-- early: verified, about an order that is not known yet; tried again. unmatched: verified, and never matched. refused: not believed.
-- The same message is kept once in each state. The body is sealed under its merchant's key, bound to the id.
CREATE TABLE inbox (
    id          TEXT   NOT NULL PRIMARY KEY,
    merchant    TEXT   NOT NULL,
    config      TEXT   NOT NULL, -- gateway configuration; '': none of the merchant's
    gateway     TEXT   NOT NULL,
    state       TEXT   NOT NULL CHECK (state IN ('early', 'unmatched', 'refused')),
    reason      TEXT   NOT NULL,
    digest      TEXT   NOT NULL, -- SHA-256 of the message, hexadecimal
    sealed      BYTEA  NOT NULL,
    repeats     BIGINT NOT NULL DEFAULT 0,
    received_at BIGINT NOT NULL
);

CREATE UNIQUE INDEX inbox_once ON inbox (merchant, config, state, digest);
CREATE INDEX inbox_newest ON inbox (merchant, config, state, received_at, id);
CREATE INDEX inbox_age ON inbox (received_at);
