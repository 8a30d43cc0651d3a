-- SPDX-License-Identifier: Apache-2.0
-- Times are microseconds since 1970 UTC, 0 for none; values are millionths of the
-- policy's currency; amounts are decimal text of base units; starts of buckets
-- are seconds since 1970.

CREATE TABLE control (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    paused        INTEGER NOT NULL CHECK (paused IN (0, 1)),
    floor         INTEGER NOT NULL,
    settled       INTEGER NOT NULL CHECK (settled >= 0),
    settled_count INTEGER NOT NULL CHECK (settled_count >= 0),
    reserved      INTEGER NOT NULL CHECK (reserved >= 0),
    open_count    INTEGER NOT NULL CHECK (open_count >= 0)
) STRICT;
INSERT INTO control VALUES (1, 0, 0, 0, 0, 0, 0);

CREATE TABLE purchases (
    id        TEXT PRIMARY KEY,
    need      TEXT NOT NULL,
    state     TEXT NOT NULL,
    final     INTEGER NOT NULL CHECK (final IN (0, 1)),
    reason    TEXT NOT NULL,
    rail      TEXT NOT NULL,
    order_id  TEXT NOT NULL,
    search_id TEXT NOT NULL,
    quote_id  TEXT NOT NULL,
    value     INTEGER NOT NULL CHECK (value >= 0),
    created   INTEGER NOT NULL,
    updated   INTEGER NOT NULL,
    deadline  INTEGER NOT NULL,
    doc       TEXT NOT NULL
) STRICT;
CREATE INDEX purchases_open ON purchases (created, id) WHERE final = 0;
CREATE INDEX purchases_created ON purchases (created, id);
CREATE INDEX purchases_need ON purchases (need, created, id);

CREATE TABLE journal (
    seq        INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    purchase   TEXT NOT NULL,
    kind       TEXT NOT NULL,
    from_state TEXT NOT NULL,
    to_state   TEXT NOT NULL,
    event      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    detail     TEXT NOT NULL,
    row_hash   TEXT NOT NULL,
    body       TEXT NOT NULL,
    hash       TEXT NOT NULL
) STRICT;
CREATE INDEX journal_purchase ON journal (purchase, seq);

CREATE TABLE reservations (
    purchase TEXT PRIMARY KEY,
    need     TEXT NOT NULL,
    service  TEXT NOT NULL,
    provider TEXT NOT NULL,
    rail     TEXT NOT NULL,
    chain    TEXT NOT NULL,
    token    TEXT NOT NULL,
    payee    TEXT NOT NULL,
    value    INTEGER NOT NULL CHECK (value >= 0),
    status   TEXT NOT NULL CHECK (status IN ('open', 'settled', 'released', 'refunded')),
    at       INTEGER NOT NULL,
    terms    TEXT NOT NULL
) STRICT;
CREATE INDEX reservations_open ON reservations (purchase) WHERE status = 'open';

CREATE TABLE settlements (
    purchase TEXT PRIMARY KEY,
    value    INTEGER NOT NULL CHECK (value >= 0),
    amount   TEXT NOT NULL,
    chain    TEXT NOT NULL,
    token    TEXT NOT NULL,
    payee    TEXT NOT NULL,
    ref      TEXT NOT NULL,
    at       INTEGER NOT NULL,
    stamp    INTEGER NOT NULL,
    rail     TEXT NOT NULL,
    refunded INTEGER NOT NULL CHECK (refunded IN (0, 1))
) STRICT;

CREATE TABLE buckets (
    width INTEGER NOT NULL CHECK (width IN (60, 3600, 86400)),
    start INTEGER NOT NULL,
    value INTEGER NOT NULL CHECK (value >= 0),
    count INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (width, start)
) STRICT, WITHOUT ROWID;

CREATE TABLE payees (
    provider TEXT NOT NULL,
    payee    TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    purchase TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (provider, payee)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    purchase      TEXT NOT NULL,
    seq           INTEGER NOT NULL,
    kind          TEXT NOT NULL,
    chain         TEXT NOT NULL,
    signer        TEXT NOT NULL,
    nonce         TEXT NOT NULL,
    account_nonce INTEGER,
    hash          TEXT NOT NULL,
    raw           BLOB NOT NULL,
    fee_cap       TEXT NOT NULL,
    tip_cap       TEXT NOT NULL,
    gas           INTEGER NOT NULL,
    valid_before  INTEGER NOT NULL,
    status        TEXT NOT NULL,
    ref           TEXT NOT NULL,
    created       INTEGER NOT NULL,
    updated       INTEGER NOT NULL,
    PRIMARY KEY (purchase, seq)
) STRICT;
CREATE INDEX attempts_nonce ON attempts (chain, signer, account_nonce);
CREATE INDEX attempts_open ON attempts (chain, signer) WHERE status IN ('prepared', 'broadcast', 'mined');

CREATE TABLE fees (
    chain TEXT NOT NULL,
    start INTEGER NOT NULL,
    wei   TEXT NOT NULL,
    PRIMARY KEY (chain, start)
) STRICT, WITHOUT ROWID;

CREATE TABLE approvals (
    purchase  TEXT PRIMARY KEY,
    hash      TEXT NOT NULL,
    shown     TEXT NOT NULL,
    expires   INTEGER NOT NULL,
    decision  TEXT NOT NULL CHECK (decision IN ('pending', 'approved', 'denied', 'used')),
    who       TEXT NOT NULL,
    requested INTEGER NOT NULL,
    decided   INTEGER NOT NULL
) STRICT;

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

