// SPDX-License-Identifier: Apache-2.0

// Package failpoint lets a test kill the daemon at a chosen write boundary and
// move its clock.
//
// The daemon calls [Hit] before and after each commit of its ledger, before and
// after each record of the token store is renamed into place, and, by way of
// [Transport], before and after each request that changes something elsewhere: a
// write to the Market, a transaction for a chain. [ClockOffset] is added to the
// clock that limits are judged by.
//
// All of it is empty but in a build with the tag failpoint on Linux: a release has
// none, which a test of this package proves on the binary. The package decides
// nothing about when to die; the environment does, see [Hit].
package failpoint
