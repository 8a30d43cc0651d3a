// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"context"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
)

// transfer is the rails wallet and wdk-usdt-transfer: an ERC-20 transfer from our
// own account.
type transfer struct {
	outOfHands
	name string
	set  *Set
	held held
}

var _ Rail = (*transfer)(nil)

// Ready implements [Rail].
func (t *transfer) Ready(ctx context.Context, terms policy.Terms) error {
	c, sender, _, err := t.set.token(terms.Chain, terms.Token)
	if err != nil {
		return err
	}
	if err := t.held.enough(ctx, c, terms.Token, terms.Amount); err != nil {
		return err
	}
	to := terms.Receiver()
	if to == (common.Address{}) {
		// The payee is not known yet; a transfer to ourselves costs about the same.
		to = t.held.signer
	}
	return asRefusal(sender.Ready(ctx, evm.AttemptTransfer, terms.Token, to, terms.Amount))
}

// Pay implements [Rail].
func (t *transfer) Pay(ctx context.Context, g policy.Grant, job Job) (Evidence, error) {
	if g.Purchase() != job.Purchase {
		return Evidence{}, fmt.Errorf("grant of purchase %s used for %s", g.Purchase(), job.Purchase)
	}
	_, sender, token, err := t.set.token(g.Chain(), g.Token())
	if err != nil {
		return Evidence{}, t.unlessSigned(ctx, job.Purchase, err)
	}
	r, err := sender.Send(ctx, g, evm.Call{Kind: evm.AttemptTransfer})
	if err != nil {
		return Evidence{}, asRefusal(err)
	}
	return t.evidence(g, token, r), nil
}

func (t *transfer) evidence(g policy.Grant, token evm.Token, r evm.Receipt) Evidence {
	return Evidence{
		Rail: t.name, Chain: g.Chain(), TxHash: r.Tx.Hex(), Payer: t.held.signer, Payee: g.Payee(), Escrow: g.Escrow(), Token: g.Token(),
		Symbol: token.Symbol, Decimals: token.Decimals, Amount: g.Amount(), Block: r.Block, At: r.At,
	}
}

// unlessSigned returns a refusal that was made of the configuration only if
// nothing was signed before the configuration said so.
func (t *transfer) unlessSigned(ctx context.Context, id policy.PurchaseID, refusal error) error {
	attempts, err := t.held.ledger.Attempts(ctx, id)
	if err != nil {
		return fmt.Errorf("read attempts: %w", err)
	}
	for _, a := range attempts {
		pays := a.Kind == evm.AttemptTransfer || a.Kind == evm.AttemptApprove || a.Kind == evm.AttemptLock
		if pays && a.Status != ledger.AttemptDead && a.Status != ledger.AttemptFailed {
			return fmt.Errorf("%s %s is under way, but: %s", a.Kind, a.Hash, refusal.Error())
		}
	}
	return refusal
}

// Check implements [Rail].
func (t *transfer) Check(ctx context.Context, id policy.PurchaseID) (Outcome, error) {
	attempts, err := t.held.ledger.Attempts(ctx, id)
	if err != nil {
		return Outcome{Status: Unknown}, fmt.Errorf("read attempts: %w", err)
	}
	for _, a := range attempts {
		if a.Kind != evm.AttemptTransfer {
			continue
		}
		sender := t.set.senders[a.Chain]
		if sender == nil {
			return Outcome{Status: Unknown}, fmt.Errorf("transfer %s is on %s, which is not configured", a.Hash, a.Chain)
		}
		standing, r, err := sender.Look(ctx, id, evm.Call{Kind: evm.AttemptTransfer})
		if err != nil {
			return Outcome{Status: Unknown}, err
		}
		return ofTransaction(transferWorlds, factOf(standing), r), nil
	}
	return outcomeIn(transferWorlds, factNothing), nil
}

// refusals says which of evm's errors prove that nothing moved, and why.
var refusals = []struct {
	err    error
	reason policy.Reason
}{
	{evm.ErrReverted, policy.ReasonTransferReverted},
	{evm.ErrFeeCeiling, policy.ReasonFeeCeiling},
	{evm.ErrGasBudget, policy.ReasonGasBudget},
	{evm.ErrGasBalance, policy.ReasonInsufficientGas},
	{evm.ErrCancelled, policy.ReasonCancelled},
	{evm.ErrLate, policy.ReasonDeadlinePassed},
	{evm.ErrNoContract, policy.ReasonEscrowUnknown},
}

func asRefusal(err error) error {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return &Refusal{Reason: r.reason, Err: err}
		}
	}
	return err
}
