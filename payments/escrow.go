// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// Escrow is an escrow that the owner listed.
type Escrow struct {
	Chain   money.ChainID
	Address common.Address
	// Contract is the interface of a contract that locks value for an order; nil
	// where the address takes plain transfers.
	Contract *wallet.EscrowABI
}

// escrowKey names an escrow.
type escrowKey struct {
	chain   money.ChainID
	address common.Address
}

// escrows are the listed ones.
type escrows map[escrowKey]Escrow

func escrowsOf(list []Escrow) (escrows, error) {
	all := escrows{}
	for _, e := range list {
		key := escrowKey{e.Chain, e.Address}
		switch _, twice := all[key]; {
		case twice:
			return nil, fmt.Errorf("payments: escrow %s on %s is listed twice", e.Address, e.Chain)
		case e.Address == (common.Address{}):
			return nil, fmt.Errorf("payments: an escrow on %s has no address", e.Chain)
		case e.Contract != nil && !e.Contract.Valid():
			return nil, fmt.Errorf("payments: escrow %s on %s has no checked interface", e.Address, e.Chain)
		}
		all[key] = e
	}
	return all, nil
}

// find returns a listed escrow, or the refusal of one that is not.
func (e escrows) find(chain money.ChainID, address common.Address) (Escrow, error) {
	found, ok := e[escrowKey{chain, address}]
	if !ok {
		return Escrow{}, refuse(policy.ReasonEscrowUnknown, "escrow %s is not listed on %s", address, chain)
	}
	return found, nil
}

// escrow is the rails escrow and onchain-escrow. Which of the two ways is gone is
// the owner's to say, by the mode of the escrow, and the grant's to hold: a plain
// transfer to the escrow, or a lock in its contract.
type escrow struct {
	transfer
	escrows escrows
	now     func() time.Time
}

var (
	_ Rail      = (*escrow)(nil)
	_ Custodian = (*escrow)(nil)
)

// Ready implements [Rail].
func (e *escrow) Ready(ctx context.Context, t policy.Terms) error {
	if t.Escrow == (common.Address{}) {
		// Only the intent names it.
		return e.transfer.Ready(ctx, t)
	}
	listed, err := e.escrows.find(t.Chain, t.Escrow)
	if err != nil {
		return err
	}
	if listed.Contract == nil {
		return e.transfer.Ready(ctx, t)
	}
	c, sender, _, err := e.set.token(t.Chain, t.Token)
	if err != nil {
		return err
	}
	if err := e.held.enough(ctx, c, t.Token, t.Amount); err != nil {
		return err
	}
	return asRefusal(sender.Ready(ctx, evm.AttemptLock, t.Token, t.Escrow, t.Amount))
}

// Pay implements [Rail].
func (e *escrow) Pay(ctx context.Context, g policy.Grant, job Job) (Evidence, error) {
	if g.Purchase() != job.Purchase {
		return Evidence{}, fmt.Errorf("grant of purchase %s used for %s", g.Purchase(), job.Purchase)
	}
	listed, err := e.escrows.find(g.Chain(), g.Escrow())
	if err != nil {
		return Evidence{}, e.unlessSigned(ctx, job.Purchase, err)
	}
	if locks := g.Kind() == policy.KindLock || g.Kind() == policy.KindPayout; locks != (listed.Contract != nil) {
		err := refuse(policy.ReasonEscrowUnknown, "escrow %s is listed with another mode than was granted", g.Escrow())
		return Evidence{}, e.unlessSigned(ctx, job.Purchase, err)
	}
	if listed.Contract == nil {
		return e.transfer.Pay(ctx, g, job)
	}
	c, sender, token, err := e.set.token(g.Chain(), g.Token())
	if err != nil {
		return Evidence{}, e.unlessSigned(ctx, job.Purchase, err)
	}
	l := &locking{chain: c, sender: sender, ledger: e.held.ledger, payer: e.held.signer, grant: g, abi: listed.Contract, now: e.now}
	r, err := l.pay(ctx)
	if err != nil {
		return Evidence{}, err
	}
	return e.evidence(g, token, r), nil
}

// Check implements [Rail].
func (e *escrow) Check(ctx context.Context, id policy.PurchaseID) (Outcome, error) {
	l, err := e.lockOf(ctx, id)
	switch {
	case errors.Is(err, errNoLock):
		return e.transfer.Check(ctx, id)
	case err != nil:
		return Outcome{Status: Unknown}, err
	}
	return l.check(ctx)
}
