// SPDX-License-Identifier: Apache-2.0

// Package orchestration is a typed client of the peaqOS orchestration API, the
// Machine Markets: every operation that the released clients know, with typed
// requests, replies and errors. It stands alone and can be used as an SDK.
//
// Entry points are [New], the methods of [Client] (one per operation), and for
// errors [Classify], which names what a caller should do, and [Ambiguous], which
// says whether the call may have taken effect although it failed.
//
// Invariants:
//
//   - A credential goes to the configured host only: redirects are refused.
//   - Every call has a deadline (30 s for reads, 60 s for writes, or the earlier
//     one of the caller's context) and every body that is read has a bound.
//   - Only reads and the writes that the API documents as idempotent are
//     repeated. An order is never created twice by this package.
//   - Amounts are [encoding/json.Number]: decimal text, never a float.
//   - Enumerations are open: a value that this package does not know is kept.
//   - A record keeps the whole object it was read from in its Raw member, but
//     for tokens. Objects that belong to a user or a provider (input, result,
//     metadata, evidence) pass through in both directions as they are.
//   - No error text holds a credential.
//
// It does not hold pairing tokens (the caller passes one per call and owns its
// rotation), does not sign, does not pay, and does not read x402 challenges:
// they are in Payment.Rail.Metadata. It leaves out the calls that no released
// client makes (tasks, graphs, runs, cancel, retry) and the stream and IoT calls.
package orchestration
