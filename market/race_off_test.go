// SPDX-License-Identifier: Apache-2.0

//go:build !race

package market_test

// underRace says whether the race detector is on.
const underRace = false
