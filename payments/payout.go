// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// errNoLock says that a purchase has signed nothing for an escrow contract.
var errNoLock = errors.New("purchase has no lock")

// lockRecord is what is stored of a purchase's lock.
type lockRecord struct {
	id       policy.PurchaseID
	chain    *evm.Chain
	sender   *evm.Sender
	payer    common.Address
	attempts []ledger.Attempt
	abi      *wallet.EscrowABI
	// escrow and token are the contracts that the approval or the lock went to.
	escrow, token common.Address
}

// lockOf reads what is stored of a purchase's lock. It fails with [errNoLock] if
// nothing is, and otherwise if the escrow is no longer listed.
func (e *escrow) lockOf(ctx context.Context, id policy.PurchaseID) (*lockRecord, error) {
	attempts, err := e.held.ledger.Attempts(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	l := &lockRecord{id: id, payer: e.held.signer, attempts: attempts}
	for _, a := range attempts {
		if a.Kind != evm.AttemptApprove && a.Kind != evm.AttemptLock {
			continue
		}
		tx, err := decodeTx(a)
		if err != nil {
			return nil, err
		}
		if l.escrow = *tx.To(); a.Kind == evm.AttemptApprove {
			if l.token, l.escrow, _, err = evm.ApprovalOf(a.Raw); err != nil {
				return nil, err
			}
		}
		listed, ok := e.escrows[escrowKey{a.Chain, l.escrow}]
		if l.chain, l.sender = e.set.chains[a.Chain], e.set.senders[a.Chain]; l.chain == nil || !ok || listed.Contract == nil {
			return nil, fmt.Errorf("%s %s is for escrow contract %s on %s, which is not configured", a.Kind, a.Hash, l.escrow, a.Chain)
		}
		l.abi = listed.Contract
	}
	if l.abi == nil {
		return nil, errNoLock
	}
	return l, nil
}

// check says whether the value is locked, by the table of worlds.
func (l *lockRecord) check(ctx context.Context) (Outcome, error) {
	standing, r, err := l.sender.Look(ctx, l.id, evm.Call{Kind: evm.AttemptLock, Escrow: l.abi})
	if err != nil {
		return Outcome{Status: Unknown}, err
	}
	found := factOf(standing)
	if found != factDone && found != factOpen {
		stands, err := l.allowanceMayStand(ctx)
		if err != nil {
			return Outcome{Status: Unknown}, err
		}
		if stands {
			found = factAllowance
		}
	}
	return ofTransaction(lockWorlds, found, r), nil
}

// allowanceMayStand says whether the contract may still take what the purchase
// approved: it was approved, nothing that is final undid it, and the chain does
// not say that nothing may be taken.
func (l *lockRecord) allowanceMayStand(ctx context.Context) (bool, error) {
	approved := false
	for _, a := range l.attempts {
		switch {
		case a.Kind == evm.AttemptApprove && a.Status.Open():
			return true, nil
		case a.Kind == evm.AttemptApprove && a.Status == ledger.AttemptFinal:
			approved = true
		}
	}
	if !approved {
		return false, nil
	}
	stands, err := l.chain.Allowance(ctx, l.token, l.payer, l.escrow)
	return !stands.IsZero(), err
}

// Custody implements [Custodian].
func (e *escrow) Custody(ctx context.Context, id policy.PurchaseID, taken func(ref string) (bool, error)) (Custody, error) {
	l, err := e.lockOf(ctx, id)
	switch {
	case errors.Is(err, errNoLock):
		return e.transfer.Custody(ctx, id, taken)
	case err != nil:
		return Custody{}, err
	}
	return l.custody(ctx)
}

// custody reads how the contract ended the lock. The value counts as returned
// only if the transaction that ended it moved exactly the amount to us.
func (l *lockRecord) custody(ctx context.Context) (Custody, error) {
	o, err := l.check(ctx)
	if err != nil {
		return Custody{}, err
	}
	if o.Status != Paid {
		return Custody{}, fmt.Errorf("purchase %s: %w", l.id, errNotPaid)
	}
	fields, err := l.locked()
	if err != nil {
		return Custody{}, err
	}
	// An hour allows for a wall clock that is ahead of the chain.
	end, err := l.chain.FindEscrowEnd(ctx, l.escrow, l.abi, fields.Order, o.At.Add(-time.Hour))
	switch {
	case err != nil:
		return Custody{}, err
	case end.Released:
		return custodyOf(factReleased).at(end.Tx.Hex(), end.At, end.Block), nil
	case !end.Refunded:
		return custodyOf(factLocked), nil
	}
	return l.cameBack(ctx, end, fields)
}

// cameBack finds the exact amount in the transaction that refunded the lock. Where
// neither the lock nor an approval names the token, it is one of the configured.
func (l *lockRecord) cameBack(ctx context.Context, end evm.EscrowEnd, locked wallet.EscrowFields) (Custody, error) {
	other := func(ref string) (bool, error) { return !strings.HasPrefix(ref, end.Tx.Hex()), nil }
	for _, t := range l.chain.Tokens() {
		if !isOrZero(l.token, t.Address) || !isOrZero(locked.Token, t.Address) {
			continue
		}
		back, found, err := l.chain.FindReturn(ctx, t.Address, l.escrow, l.payer, locked.Amount, end.Block, other)
		if err != nil {
			return Custody{}, err
		}
		if found {
			return custodyOf(factRefunded).at(back.Ref, back.At, back.Block), nil
		}
	}
	return Custody{}, fmt.Errorf("escrow %s says in %s that it refunded, but the amount did not come back", l.escrow, end.Tx)
}

func isOrZero(named, a common.Address) bool { return named == a || named == (common.Address{}) }

// locked returns what the final lock was signed for.
func (l *lockRecord) locked() (wallet.EscrowFields, error) {
	for _, a := range l.attempts {
		if a.Kind != evm.AttemptLock {
			continue
		}
		tx, err := decodeTx(a)
		if err != nil {
			return wallet.EscrowFields{}, err
		}
		return l.abi.ReadLock(tx.Data())
	}
	return wallet.EscrowFields{}, errNoLock
}

// Release implements [Custodian]. A contract that ended the lock already, either
// way, is asked for nothing.
func (e *escrow) Release(ctx context.Context, g policy.Grant) (Custody, error) {
	c, err := e.end(ctx, g, evm.AttemptRelease)
	if errors.Is(err, errNoLock) {
		return e.transfer.Release(ctx, g)
	}
	return c, err
}

// Reclaim implements [Custodian].
func (e *escrow) Reclaim(ctx context.Context, g policy.Grant) (Custody, error) {
	c := e.set.chains[g.Chain()]
	if c == nil {
		return Custody{}, fmt.Errorf("chain %s is not configured", g.Chain())
	}
	head, err := c.Head(ctx)
	if err != nil {
		return Custody{}, err
	}
	if head.Time.Before(g.RefundFrom()) {
		return Custody{}, fmt.Errorf("locked until %s, the chain's time is %s", g.RefundFrom().UTC().Format(time.RFC3339), head.Time.Format(time.RFC3339))
	}
	return e.end(ctx, g, evm.AttemptRefund)
}

// seeThrough brings a call that was signed before a crash to its end, though the
// lock may be ended by now: its nonce would hold up the lane, and its fee counts.
func (l *lockRecord) seeThrough(ctx context.Context, g policy.Grant) error {
	for _, a := range l.attempts {
		if (a.Kind != evm.AttemptRelease && a.Kind != evm.AttemptRefund) || !a.Status.Open() {
			continue
		}
		if _, err := l.sender.Send(ctx, g, evm.Call{Kind: a.Kind, Escrow: l.abi}); err != nil && !errors.Is(err, evm.ErrReverted) {
			return err
		}
	}
	return nil
}

// end has the contract end the lock and returns how it ended. A call that is
// refused or reverts means that something else ended it, which the chain then
// shows; otherwise it is an error.
func (e *escrow) end(ctx context.Context, g policy.Grant, kind string) (Custody, error) {
	l, err := e.lockOf(ctx, g.Purchase())
	if err != nil {
		return Custody{}, err
	}
	if l.escrow != g.Escrow() {
		return Custody{}, &wallet.GrantError{Field: "escrow", Granted: g.Escrow().Hex(), Asked: l.escrow.Hex()}
	}
	if err := l.seeThrough(ctx, g); err != nil {
		return Custody{}, err
	}
	c, err := l.custody(ctx)
	if err != nil || c.State != CustodyLocked {
		return c, err
	}
	_, sent := l.sender.Send(ctx, g, evm.Call{Kind: kind, Escrow: l.abi})
	if sent != nil && !errors.Is(sent, evm.ErrReverted) {
		return Custody{}, sent
	}
	if c, err = l.custody(ctx); err == nil && c.State == CustodyLocked {
		err = errors.Join(errors.New("the escrow does not show the "+kind), sent)
	}
	return c, err
}
