// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
)

// errNotPaid says that a purchase's value never left, as far as the chain shows.
var errNotPaid = errors.New("no final block shows that it paid")

// sent is a transfer of a purchase that may come back.
type sent struct {
	chain    *evm.Chain
	token    common.Address
	receiver common.Address
	amount   money.Amount
}

// custody looks for the value on our account again: a transfer of exactly the
// amount, from who received it, that is not another purchase's refund.
func (h held) custody(ctx context.Context, s sent, paid Outcome, taken func(ref string) (bool, error)) (Custody, error) {
	if paid.Status != Paid {
		return Custody{}, errNotPaid
	}
	skip := func(ref string) (bool, error) {
		if strings.HasPrefix(ref, paid.Ref) {
			return true, nil
		}
		return taken(ref)
	}
	back, found, err := s.chain.FindReturn(ctx, s.token, s.receiver, h.signer, s.amount, paid.Block, skip)
	switch {
	case err != nil:
		return Custody{}, err
	case !found:
		return custodyOf(factGone), nil
	}
	return custodyOf(factBack).at(back.Ref, back.At, back.Block), nil
}

// outOfHands is what rails have in common that lock nothing.
type outOfHands struct{}

// Release implements [Custodian]: the value is out of our hands.
func (outOfHands) Release(context.Context, policy.Grant) (Custody, error) {
	return custodyOf(factGone), nil
}

// Reclaim implements [Custodian]: nothing is locked.
func (outOfHands) Reclaim(_ context.Context, g policy.Grant) (Custody, error) {
	return Custody{}, of(g.Purchase(), errNoLock)
}

var (
	_ Custodian = (*transfer)(nil)
	_ Custodian = (*x402)(nil)
)

// Custody implements [Custodian].
func (t *transfer) Custody(ctx context.Context, id policy.PurchaseID, taken func(ref string) (bool, error)) (Custody, error) {
	paid, err := t.Check(ctx, id)
	if err != nil {
		return Custody{}, err
	}
	attempts, err := t.held.ledger.Attempts(ctx, id)
	if err != nil {
		return Custody{}, fmt.Errorf("read attempts: %w", err)
	}
	for _, a := range attempts {
		if a.Kind != evm.AttemptTransfer {
			continue
		}
		s := sent{chain: t.set.chains[a.Chain]}
		if s.token, s.receiver, s.amount, err = evm.TransferOf(a.Raw); err != nil {
			return Custody{}, err
		}
		c, err := t.held.custody(ctx, s, paid, taken)
		return c, of(id, err)
	}
	return Custody{}, of(id, errNotPaid)
}

// Custody implements [Custodian].
func (x *x402) Custody(ctx context.Context, id policy.PurchaseID, taken func(ref string) (bool, error)) (Custody, error) {
	paid, err := x.Check(ctx, id)
	if err != nil {
		return Custody{}, err
	}
	last, err := x.last(ctx, id)
	if err != nil {
		return Custody{}, err
	}
	if last == nil {
		return Custody{}, of(id, errNotPaid)
	}
	h, err := readHeader(last.Raw)
	if err != nil {
		return Custody{}, of(id, err)
	}
	c, err := x.held.custody(ctx, sent{x.set.chains[last.Chain], h.token, h.payee, h.amount}, paid, taken)
	return c, of(id, err)
}

func of(id policy.PurchaseID, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("purchase %s: %w", id, err)
}
