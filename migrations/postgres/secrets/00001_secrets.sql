-- Secrets: the only mutable truth, backed up apart. Every key and value in here is wrapped by the master key, which is
-- never stored; see package vault. Times are Unix microseconds, UTC; a period is 12 * year + month - 1.

-- +goose Up

-- One row: what only the right master key gives. Whoever writes a wrapped value updates this row first, so that no
-- value can slip past a rotation of the master key.
CREATE TABLE master (
    id          BIGINT  NOT NULL PRIMARY KEY CHECK (id = 1),
    check_value BYTEA   NOT NULL CHECK (length(check_value) = 32),
    writes      BIGINT  NOT NULL DEFAULT 0
);

CREATE TABLE data_keys (
    key_id     BYTEA   NOT NULL PRIMARY KEY CHECK (length(key_id) = 16),
    owner      TEXT    NOT NULL,
    kind       TEXT    NOT NULL CHECK (kind IN ('seal', 'fingerprint')),
    period     BIGINT  NOT NULL,
    wrapped    BYTEA   NOT NULL,
    created_at BIGINT  NOT NULL,
    UNIQUE (owner, kind, period)
);

-- Keys that were erased on purpose: an import of an old backup must not bring them back.
CREATE TABLE erased_keys (
    key_id    BYTEA   NOT NULL PRIMARY KEY CHECK (length(key_id) = 16),
    owner     TEXT    NOT NULL,
    erased_at BIGINT  NOT NULL
);

CREATE TABLE named_secrets (
    name       TEXT    NOT NULL PRIMARY KEY,
    wrapped    BYTEA   NOT NULL,
    updated_at BIGINT  NOT NULL
);
