// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"context"
	"fmt"
	"time"

	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
)

// Forgotten asks the chain whether a purchase for which the ledger holds no
// signature was paid all the same, by a life of which an older copy of the ledger
// knows nothing. Terms may be incomplete. The error wraps [evm.ErrForgotten] if it
// was, or may have been; any other error says that it is not known yet, and nil
// that it was not and never will be.
func (s *Set) Forgotten(ctx context.Context, id policy.PurchaseID, t policy.Terms) error {
	_, sender, _, err := s.token(t.Chain, t.Token)
	if err != nil {
		return err
	}
	if x, ok := s.rails[t.Rail].(*x402); ok {
		return x.forgotten(ctx, id, t)
	}
	return sender.Forgotten(ctx, t)
}

// forgotten asks for the purchase's one nonce. Whatever was signed under it was
// signed before this process began, so it can be used for no longer than the
// longest authorisation after that.
func (x *x402) forgotten(ctx context.Context, id policy.PurchaseID, t policy.Terms) error {
	c := x.set.chains[t.Chain]
	_, head, err := c.Heads(ctx)
	if err != nil {
		return err
	}
	used, err := c.AuthorizationState(ctx, t.Token, x.wallet.Address(), nonceOf(x.wallet.Address(), id), &head.Number)
	if err != nil {
		return err
	}
	if used {
		return fmt.Errorf("%w: the nonce of purchase %s was used", evm.ErrForgotten, id)
	}
	if end := x.began.Add(x.longest()); x.now().Before(end) || head.Time.Before(end) {
		return fmt.Errorf("an authorisation of purchase %s that an older ledger does not know could be used until %s", id, end.UTC().Format(time.RFC3339))
	}
	return nil
}
