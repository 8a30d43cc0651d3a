// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"fmt"
	"strconv"

	"github.com/agentd-project/agentd/ledger"
)

// maxNonce is more transactions than an account sends in a lifetime.
const maxNonce = 1 << 40

// nextNonce returns the nonce after the highest that the chain has seen or that
// was ever stored: an endpoint that lags must not make one be used twice. Where
// the endpoint knows of less than is decided already, it lags or the chain was
// replaced, and nothing is signed: a gap would hold up the lane for ever.
func (s *Sender) nextNonce(ctx context.Context, lane []ledger.Attempt) (uint64, error) {
	next, err := s.chain.pendingNonce(ctx, s.wallet.Address())
	if err != nil {
		return 0, err
	}
	highest, ok, err := s.ledger.HighestNonce(ctx, s.chain.ID(), s.wallet.Address())
	if err != nil {
		return 0, fmt.Errorf("read nonces: %w", err)
	}
	if !ok {
		return next, s.plausible(next, 0)
	}
	known := highest + 1
	for _, a := range lane {
		n, err := strconv.ParseUint(a.Nonce, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("attempt of purchase %s: %w", a.Purchase, err)
		}
		known = min(known, n)
	}
	if err := s.plausible(next, known); err != nil {
		return 0, err
	}
	return max(next, highest+1), nil
}

// plausible refuses a count of transactions that cannot be: below what is
// known, or beyond a lifetime.
func (s *Sender) plausible(count, known uint64) error {
	if count >= known && count <= maxNonce {
		return nil
	}
	return &Error{Action: ActionAbsent, Method: "eth_getTransactionCount", Cause: fmt.Errorf("%d transactions of %s, but at least %d are known", count, s.wallet.Address(), known)}
}
