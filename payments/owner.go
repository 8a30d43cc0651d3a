// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"context"
	"fmt"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
)

// Stuck returns the transactions on a chain that wait longer than they should.
func (s *Set) Stuck(chain money.ChainID) []evm.Stuck {
	if sender := s.senders[chain]; sender != nil {
		return sender.Stuck()
	}
	return nil
}

// Cancel puts a transaction to ourselves in the place of the purchase's payment
// that is not mined yet; see [evm.Sender.Cancel]. It is for the owner to ask for.
func (s *Set) Cancel(ctx context.Context, id policy.PurchaseID) error {
	attempts, err := s.ledger.Attempts(ctx, id)
	if err != nil {
		return fmt.Errorf("read attempts: %w", err)
	}
	for _, a := range attempts {
		if sender := s.senders[a.Chain]; sender != nil && evm.Pays(a.Kind) {
			return sender.Cancel(ctx, id)
		}
	}
	return fmt.Errorf("%w: purchase %s", evm.ErrNothingToCancel, id)
}
