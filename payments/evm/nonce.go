// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"fmt"
)

// maxNonce is more transactions than an account sends in a lifetime.
const maxNonce = 1 << 40

// nextNonce returns the first nonce, from what an endpoint counts on, under which
// nothing of ours is stored. Where the count is below what is decided already, the
// endpoint lags or the chain was replaced, and nothing is signed.
//
// A count that is too high leaves no gap, which would hold up the lane:
// notForgotten waits for what would be in it. A count that is too low for
// transactions that others sent with our key costs a signature: it is proven dead,
// and another is made.
func (s *Sender) nextNonce(ctx context.Context) (uint64, error) {
	count, err := s.chain.pendingNonce(ctx, s.wallet.Address())
	if err != nil {
		return 0, err
	}
	impossible := &Error{Action: ActionAbsent, Method: "eth_getTransactionCount", Cause: fmt.Errorf("%d transactions of %s cannot be", count, s.wallet.Address())}
	if count > maxNonce {
		return 0, impossible
	}
	next, spent, err := s.ledger.NextNonce(ctx, s.chain.ID(), s.wallet.Address(), count)
	if err != nil {
		return 0, fmt.Errorf("read nonces: %w", err)
	}
	if spent {
		return 0, impossible
	}
	return next, nil
}
