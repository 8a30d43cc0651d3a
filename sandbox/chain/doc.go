// SPDX-License-Identifier: Apache-2.0

// Package chain is the EVM of the local Market: Base Sepolia's chain id, a token with EIP-3009 at the listed USDC address, and an
// escrow.
//
// NewSimulated runs go-ethereum's simulated backend with a JSON-RPC endpoint on a loopback port; the contracts are the compiled
// Solidity of sandbox/contracts. NewMemory runs a small chain without an EVM, sockets or goroutines, for tests inside a
// testing/synctest bubble, where the simulated backend hangs. Both mine a transaction when it arrives and both keep block time at
// the configured clock.
//
// Invariants: a transaction that the endpoint accepted is mined before the answer leaves, unless mining is held or the account's
// nonces have a gap; block time never decreases and is never more than a few seconds ahead of the clock; the token at TokenAddress
// behaves alike on both chains.
//
// The package is test equipment. It links a node, so nothing that the daemon is built from may import it; it guards no real money
// and its facilitator's key is made anew at each start.
package chain
