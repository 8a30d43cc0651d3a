// SPDX-License-Identifier: Apache-2.0

// Package repotest holds no code, only tests of the repository as a whole: which package may import which, what the daemon
// must not link, that every package says what it is, that money is never a float, that tests do not sleep, and that the
// reference pages name every reason, exit code, metric and dependency that the code has.
//
// A rule belongs here when no compiler and no linter can state it. What concerns one package is tested in that package.
package repotest
