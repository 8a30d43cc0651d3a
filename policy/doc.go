// SPDX-License-Identifier: Apache-2.0

// Package policy is the guard: it says whether a purchase may be made and hands
// out the [Grant] without which nothing that moves value can be signed.
//
// Entry points: [Decide], the pure decision over plain values; [Guard], which
// takes the decision inside the transaction of a [Store] and creates grants;
// [Rules], the owner's limits; [Remote], what the server's policies add to them;
// [Reasons], the closed set of codes that say why something was refused.
//
// Invariants: deny wins; the stricter of the owner's and the server's rule holds;
// a refusal has exactly one reason; Decide reads no clock and no disk and does
// not allocate when it allows; a Grant exists only after its reservation has been
// committed, and [Guard.Regrant] rebuilds it from the stored reservation only.
//
// The package keeps no sums: what was spent comes from the Store, and it does
// not know the Market, the chain or the configuration file.
package policy
