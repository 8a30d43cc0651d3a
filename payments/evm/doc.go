// SPDX-License-Identifier: Apache-2.0

// Package evm talks to EVM chains over JSON-RPC and sends the transactions that a
// grant admits: a token's transfer, or the calls of an escrow contract.
//
// [Dial] makes a [Chain] of one or more endpoints; [Chain.VerifyStart] holds
// the configuration against the chain. Reads are methods of Chain. A [Sender]
// is the one nonce lane of a key on a chain: [Sender.Send] sees a purchase's call
// through to finality and [Sender.Look] says how it stands.
//
// Invariants: an endpoint is used only after it named the configured chain id;
// signed bytes are stored before they leave and only stored bytes leave; a
// purchase has at most one transfer, or lock, that can still be mined; a missing receipt is
// never taken as proof of anything; a nonce counts as taken by something else
// only if a final block shows the transaction, signed by our key, that took it.
//
// What waits too long under a fee that the chain no longer takes is replaced under
// its nonce, up to the ceiling; [Sender.Stuck] lists what does not come to an end
// by itself. [Sender.Cancel] is for the owner alone.
//
// The package does not follow a mempool and decides nothing about purchases.
package evm
