-- SPDX-License-Identifier: Apache-2.0
-- What remains of purchases that are older than the retention.

-- compacted is the start of the oldest day, in seconds, of which the minutes and
-- hours are kept; checkpoint is the journal's newest entry of that kind, 0 if
-- there is none.
ALTER TABLE control ADD COLUMN compacted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE control ADD COLUMN checkpoint INTEGER NOT NULL DEFAULT 0;

CREATE TABLE receipts (
    n          INTEGER PRIMARY KEY,
    purchase   TEXT NOT NULL UNIQUE,
    need       TEXT NOT NULL,
    service    TEXT NOT NULL,
    provider   TEXT NOT NULL,
    rail       TEXT NOT NULL,
    order_id   TEXT NOT NULL,
    state      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    symbol     TEXT NOT NULL,
    decimals   INTEGER NOT NULL,
    chain      TEXT NOT NULL,
    token      TEXT NOT NULL,
    payee      TEXT NOT NULL,
    amount     TEXT NOT NULL,
    value      INTEGER NOT NULL CHECK (value >= 0),
    ref        TEXT NOT NULL,
    at         INTEGER NOT NULL,
    stamp      INTEGER NOT NULL,
    refund_ref TEXT NOT NULL,
    refund_at  INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    entries    INTEGER NOT NULL,
    digest     TEXT NOT NULL
) STRICT;

-- Runs of entries that were taken out of the journal; hash is the last one's.
CREATE TABLE gaps (
    first INTEGER PRIMARY KEY,
    last  INTEGER NOT NULL UNIQUE,
    hash  TEXT NOT NULL
) STRICT;

-- The highest account nonces of attempts that are no longer kept.
CREATE TABLE nonces (
    chain   TEXT NOT NULL,
    signer  TEXT NOT NULL,
    highest INTEGER NOT NULL,
    PRIMARY KEY (chain, signer)
) STRICT, WITHOUT ROWID;
