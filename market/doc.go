// SPDX-License-Identifier: Apache-2.0

// Package market turns the owner's needs into confirmed purchases: search,
// order, pay, execute, confirm.
//
// One purchase is one state machine, and the machine is one literal: [Table]
// lists every state, what is done in it, which events leave it and how it is
// taken up again after a crash or a lost answer. The engine reads that table
// and nothing else decides where a purchase goes. A state is on disk before its
// action starts, and an action that may have happened already asks first: the
// order is looked for before it is made again, the payment is read before
// anything is paid, a result is fetched again with the same bytes.
//
// Entry points: [New], [Market.Run], [Market.Buy], [Market.Explain], and the
// human decisions [Market.Approve], [Market.Deny] and [Market.Resolve].
//
// Invariants: no order without a committed reservation; no payment without a
// [policy.Grant] for the exact terms; a set term never changes; an unpaid
// purchase past its deadline is cancelled and a paid one never; shutting down
// is not failing.
//
// The package carries evidence between the rails, which know no Market, and the
// Market, which is trusted with no money. It signs nothing and holds no key.
package market
