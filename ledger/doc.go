// SPDX-License-Identifier: Apache-2.0

// Package ledger is the durable journal of one state directory: purchases with
// every transition, reservations and the sums that limits are checked against,
// signed attempts, approvals, fees, and an audit chain over all of it, in one
// SQLite file.
//
// Entry points: [Open]; [Ledger.Create] and [Ledger.Advance] for purchases;
// [Ledger.Reserve] and [Ledger.Bind], which make [Ledger] the [policy.Store] of
// the guard; [Ledger.Settle], [Ledger.Release] and [Ledger.Refund], which end a
// reservation; [Ledger.SaveAttempt], which comes before every broadcast;
// [Ledger.Verify], which derives every sum again from the journal.
//
// Invariants: each writing method is one transaction, durable when it returns
// and without effect when it fails or its context ends first. An open
// reservation counts in full in every window, whatever its age; a settled one
// counts in the bucket of its chain time, but never of a time before it was
// reserved. Sums are kept by bucket (minute, hour, day), so that a decision costs
// the same with ten rows and ten million; a bucket counts until its end has left
// the window. The time that bounds windows never runs backwards and only trusted
// time moves it.
//
// The package knows no Market and no chain, decides nothing, and keeps no secrets:
// tokens and keys are stored elsewhere. The caller holds the lock on the
// directory; two daemons on one file are not its business.
package ledger
