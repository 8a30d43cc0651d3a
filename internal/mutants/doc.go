// SPDX-License-Identifier: Apache-2.0

// Command mutants checks the tests of the guard and of the reservation: it makes
// one small fault at a time in their source (a comparison flipped, a rule
// dropped, a bound of a window in SQL moved), runs their tests on it through an
// overlay, and reports the faults that no test notices.
//
// Entry point: scripts/mutants.sh. Survivors that change nothing are listed with
// the reason in equivalent.txt; any other makes it fail. It changes no file of the
// repository, and does not look at other packages.
package main
