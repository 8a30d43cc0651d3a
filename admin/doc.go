// SPDX-License-Identifier: Apache-2.0

// Package admin is the local API of a running daemon: HTTP and JSON over a unix
// socket. [Server] serves what a [Daemon] shows and does, [Client] is how the
// command line asks, and the types that travel between them live here.
//
// Who may ask is decided by the peer credentials of the connection, read by the
// kernel at connect time: everybody who may open the socket (0660, group
// agentd) may look, explain and buy within a need; what decides, or reaches
// beyond a need, is for root, the daemon's own user and the group agentd-admin.
// Buying is not deciding: the guard decides, whoever asks.
//
// Every failure is an [Error] with a code, one sentence, and what to do next.
// Bodies are bounded in both directions. No answer holds a key, a token or a
// credential. The package knows nothing of the Market or of the chains; it
// starts no goroutines but those of its HTTP server.
package admin
