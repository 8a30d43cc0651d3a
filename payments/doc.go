// SPDX-License-Identifier: Apache-2.0

// Package payments moves the value of a purchase and says what became of it.
//
// Entry points: [NewSet] builds the rails; [Rail] is what a caller does with
// one; [Custodian] follows value that may come back or has to be released;
// [ParseChallenge] and [Challenge.Choose] read an x402 challenge.
//
// Invariants: [Rail.Pay] is idempotent per purchase and presents again what is
// on disk, so one purchase moves value at most once whatever crashes or is
// retried; value moves only under a [policy.Grant]; a [*Refusal] is proof that
// nothing moved or will move under what is stored, and every other error means
// that this is not known; an answer of [Rail.Check] is Paid or NotPaid only by a
// read of the chain at finality, by the rail's table in worlds.go; no allowance is
// left when a lock is refused.
//
// The package does not talk to the Market: it returns the [Evidence] that the
// caller hands over.
package payments
