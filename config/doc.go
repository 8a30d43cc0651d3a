// SPDX-License-Identifier: Apache-2.0

// Package config reads what the owner wants: one YAML file, overridden key by
// key by AGENTD_… environment variables, completed by the PEAQOS_… variables of
// the official tools and by defaults. [Load] is the one entry point, for the
// daemon and for the check command alike; its [Config] is plain data that the
// agent turns into the parts of the program, and [Config.PolicyRules] are the
// rules of the guard.
//
// Load returns every fault at once ([Faults]), each with its place, key, what
// was found and what is allowed. Nothing is unlimited by omission: a policy
// without limits is a fault. A secret is named by a file that only its owner
// may read, and neither its content nor a key pasted where a path belongs is
// ever part of a fault.
//
// The package opens no connection and starts nothing. It reads the configuration
// file and the schemas that needs name; other files it only looks at (do they
// exist, who may read them) until [ReadSecret] is called.
package config
