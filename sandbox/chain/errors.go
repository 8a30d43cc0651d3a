// SPDX-License-Identifier: Apache-2.0

package chain

import "errors"

// ErrReverted says that the EVM refused a call: for Settle, an authorization that is used, cancelled, expired, not yet valid, not
// covered by the balance or wrongly signed.
var ErrReverted = errors.New("execution reverted")

// ErrClosed says that the chain is closed.
var ErrClosed = errors.New("chain is closed")
