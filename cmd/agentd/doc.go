// SPDX-License-Identifier: Apache-2.0

// Command agentd is the machine's buyer on the Machine Markets: the daemon
// (agentd run) and the commands that ask it over its socket.
//
// One file holds one group of commands. Each command is a struct that kong fills
// from the arguments and a Run method; what it prints goes to standard output,
// as a table for people or, with --json, as JSON for programs, and what went
// wrong to standard error, with what to do next. Exit codes are few and named in
// exit.go.
//
// The commands decide nothing: they ask the daemon, which judges the request and
// the caller. Those that need no daemon (check, init, keys, policy test, version)
// say so in their help. No secret is taken from the command line.
package main
