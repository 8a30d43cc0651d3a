-- SPDX-License-Identifier: Apache-2.0
-- The transaction that brought a purchase's value back; one serves one purchase.

CREATE TABLE refunds (
    purchase TEXT PRIMARY KEY,
    ref      TEXT NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX refunds_ref ON refunds (ref) WHERE ref <> '';
