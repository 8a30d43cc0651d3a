// SPDX-License-Identifier: Apache-2.0

// Package sandbox is a local Machine Market: the orchestration API of peaqOS with its real checks, providers on every rail, and
// the means to make all of it misbehave.
//
// New makes a Market over a Chain; Handler is its API, Control the port that turns its knobs, Serve puts both on sockets, and
// NewTransport reaches them without sockets, also inside a testing/synctest bubble. Inject, OnExchange and Mutate are the same
// knobs for Go tests: faults on the n-th call of an operation, and lies in a reply.
//
// Invariants: signatures, token transfers and authorisations are checked, never assumed; a challenge, a transaction hash and an
// authorisation nonce serve one success each; money is integers; the market's lock is never held while anything waits or the chain
// is asked; a secret is hashed before it reaches the journal.
//
// The package keeps all state in memory and has wire types of its own, so that a client and it cannot share a mistake. It resolves
// no dispute, moves no money by itself but the settlement of an x402 authorisation, and must never face a network: its keys are
// published below.
package sandbox
