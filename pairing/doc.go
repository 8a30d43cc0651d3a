// SPDX-License-Identifier: Apache-2.0

// Package pairing keeps the agent's pairing with one machine alive: it finds or
// creates the pairing, proves the agent's key, rotates the session at two thirds
// of its life, and re-reads the server's delegation policy each time.
//
// [Service] is the whole of it: [Service.Run] does all the work in one
// goroutine, so that there is one rotation at a time; [Service.Token] and
// [Service.Rejected] hand out sessions and wait for it. [FileStore] keeps what
// the server shows only once.
//
// Invariants: a token is stored before it is used, and storage is proven
// writable before one is asked for; only a challenge that says exactly what was
// asked for is signed; a pairing that anyone revoked is never created again
// without an operator's command, also after a restart; what is pushed to the
// server's policy only tightens it.
//
// The package decides nothing about purchases and sends none.
package pairing
