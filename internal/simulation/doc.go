// SPDX-License-Identifier: Apache-2.0

// Package simulation plays whole worlds in one process: the buyer with its real
// client, ledger file, wallet, pairing and rails, the sandbox's Market, and the
// in-memory chain. [Run] plays one world; it must be called inside a
// testing/synctest bubble, whose clock it moves from event to event.
//
// Everything that happens by chance comes from the seed: what is bought and when,
// how long each step takes, which answers are lost, late, doubled or wrong, when
// the buyer dies and what it finds on its disk afterwards, what the chain drops,
// reorganises or charges. A draw depends on the seed, on who draws and on how
// often he drew before, not on the order in which goroutines run, and no two
// events share an instant but by accident; so a seed replays exactly, which its
// trace hash shows.
//
// After every step a model of what must hold is compared with the world: no
// overspend in any window, at most one transfer of value for each purchase, to the
// payee and of the amount that were quoted, a reservation while money may still
// move, one order for each search, no purchase lost. What breaks it is a finding.
//
// The package is test equipment: it links the sandbox. It does not test the
// durability of the disk, nor the process and its signals; the torture campaign of
// cmd/agentd-sandbox does.
package simulation
