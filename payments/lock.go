// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// locking pays one purchase into an escrow contract: it lets the contract take
// exactly the amount and has it lock that for the payee. What is left to take
// when the lock cannot be made is taken back before that is said.
type locking struct {
	chain  *evm.Chain
	sender *evm.Sender
	ledger evm.Ledger
	payer  common.Address
	grant  policy.Grant
	abi    *wallet.EscrowABI
	now    func() time.Time
}

func (l *locking) call(kind string) evm.Call { return evm.Call{Kind: kind, Escrow: l.abi} }

// pay locks the value, or shows how it was locked, and waits until that is final.
//
// A crash leaves one of these worlds, and each is gone on from here:
//   - nothing is signed, or only what is proven dead: approve and lock;
//   - the approval may be mined: see it through, then lock;
//   - the allowance stands: lock, or, if that is refused by now, take it back;
//   - another purchase took or changed the allowance: approve anew;
//   - the lock may be mined: see it through; nothing else is signed;
//   - the lock has reverted: the allowance stands and is taken back;
//   - the lock is final: show it.
func (l *locking) pay(ctx context.Context) (evm.Receipt, error) {
	giveUp, err := l.hold(ctx)
	if err != nil {
		return evm.Receipt{}, err
	}
	defer giveUp()
	r, err := l.approveAndLock(ctx)
	if err == nil {
		return r, nil
	}
	refusal := (*Refusal)(nil)
	if err = asRefusal(err); !errors.As(err, &refusal) {
		return evm.Receipt{}, err
	}
	if err := l.takeBackAllowance(ctx); err != nil {
		return evm.Receipt{}, fmt.Errorf("the allowance of %s is not taken back yet: %w; then refused: %s", l.grant.Escrow(), err, refusal.Error())
	}
	return evm.Receipt{}, refusal
}

func (l *locking) approveAndLock(ctx context.Context) (evm.Receipt, error) {
	signed, err := l.signed(ctx, evm.AttemptLock)
	if err != nil {
		return evm.Receipt{}, err
	}
	if !signed {
		if err := l.possible(ctx); err != nil {
			return evm.Receipt{}, err
		}
	}
	if _, err := l.sender.Send(ctx, l.grant, l.call(evm.AttemptApprove)); err != nil {
		return evm.Receipt{}, err
	}
	return l.sender.Send(ctx, l.grant, l.call(evm.AttemptLock))
}

// possible refuses, before anything is approved, a lock that could not be made:
// without a contract there, or once the time has come that would end it.
func (l *locking) possible(ctx context.Context) error {
	if err := l.chain.VerifyContract(ctx, l.grant.Escrow()); err != nil {
		return err
	}
	head, err := l.chain.Head(ctx)
	if err != nil {
		return err
	}
	end := l.grant.RefundFrom()
	if !head.Time.Before(end) || !l.now().Before(end) {
		return refuse(policy.ReasonLockExpired, "it would end at %s", end.UTC().Format(time.RFC3339))
	}
	return nil
}

// takeBackAllowance revokes what this purchase let the contract take, if anything.
func (l *locking) takeBackAllowance(ctx context.Context) error {
	signed, err := l.signed(ctx, evm.AttemptApprove)
	if err != nil || !signed {
		return err
	}
	_, err = l.sender.Send(ctx, l.grant, l.call(evm.AttemptRevoke))
	return err
}

// signed says whether a transaction of a kind was signed that is not proven dead.
func (l *locking) signed(ctx context.Context, kind string) (bool, error) {
	attempts, err := l.ledger.Attempts(ctx, l.grant.Purchase())
	if err != nil {
		return false, fmt.Errorf("read attempts: %w", err)
	}
	for _, a := range attempts {
		if a.Kind == kind && a.Status != ledger.AttemptDead {
			return true, nil
		}
	}
	return false, nil
}

const (
	firstLook = 20 * time.Millisecond
	lastLook  = 2 * time.Second
)

// hold takes the allowance for this purchase alone, once nothing of another one
// that touches it is under way: what a crash left there is the other purchase's
// to see through, and would be mixed with ours.
func (l *locking) hold(ctx context.Context) (giveUp func(), err error) {
	for wait := firstLook; ; wait = min(2*wait, lastLook) {
		if giveUp, err = l.sender.HoldAllowance(ctx, l.grant.Escrow()); err != nil {
			return nil, err
		}
		busy, err := l.othersUnderWay(ctx)
		if err == nil && !busy {
			return giveUp, nil
		}
		giveUp()
		if err != nil {
			return nil, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// othersUnderWay says whether a transaction of another purchase is undecided that
// sets or uses the allowance.
func (l *locking) othersUnderWay(ctx context.Context) (bool, error) {
	open, err := l.ledger.OpenAttempts(ctx, l.grant.Chain(), l.payer)
	if err != nil {
		return false, fmt.Errorf("read attempts: %w", err)
	}
	for _, a := range open {
		if a.Purchase == l.grant.Purchase() {
			continue
		}
		uses, err := l.usesAllowance(a)
		if uses || err != nil {
			return uses, err
		}
	}
	return false, nil
}

func (l *locking) usesAllowance(a ledger.Attempt) (bool, error) {
	switch a.Kind {
	case evm.AttemptApprove, evm.AttemptRevoke:
		token, spender, _, err := evm.ApprovalOf(a.Raw)
		return token == l.grant.Token() && spender == l.grant.Escrow(), err
	case evm.AttemptLock:
		tx, err := decodeTx(a)
		return err == nil && *tx.To() == l.grant.Escrow(), err
	}
	// A cancellation stands in the place of something that may have been one.
	return a.Kind == evm.AttemptCancel, nil
}

func decodeTx(a ledger.Attempt) (*types.Transaction, error) {
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(a.Raw); err != nil || tx.To() == nil {
		return nil, fmt.Errorf("attempt %d of purchase %s is not a call", a.Seq, a.Purchase)
	}
	return tx, nil
}
