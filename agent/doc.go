// SPDX-License-Identifier: Apache-2.0

// Package agent is the runtime of the daemon: it wires the parts together, runs
// and supervises them, and answers what the operator asks.
//
// [New] reads nothing from the network and [Agent.Run] blocks until the context
// ends; [CheckOnline] is the same wiring for `agentd check --online`. Live, ready
// and started are three answers: the daemon is started once its parts run, live
// while each of them makes progress, ready while it could buy.
//
// Invariants: nothing that needs the network stands between start and READY; an
// error of a part restarts that part and never takes the daemon down, but for
// errors that no restart can mend (another instance, an unreadable ledger, a
// wrong passphrase); the watchdog is fed only while every loop keeps its own
// deadline; stopping leaves every purchase resumable.
//
// The package decides no purchase and signs nothing itself.
package agent
