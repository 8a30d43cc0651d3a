// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/money"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// Ledger keeps signed bytes and fees. [ledger.Ledger] implements it.
type Ledger interface {
	// SaveAttempt stores signed bytes durably and returns their number.
	SaveAttempt(ctx context.Context, a ledger.Attempt) (seq int, err error)
	// UpdateAttempt records what became of an attempt.
	UpdateAttempt(ctx context.Context, id policy.PurchaseID, seq int, status ledger.AttemptStatus, ref string) error
	// Attempts returns a purchase's attempts in order.
	Attempts(ctx context.Context, id policy.PurchaseID) ([]ledger.Attempt, error)
	// OpenAttempts returns the undecided attempts of a signer on a chain.
	OpenAttempts(ctx context.Context, chain money.ChainID, signer common.Address) ([]ledger.Attempt, error)
	// NextNonce returns the first account nonce from count on that no attempt holds;
	// spent says that one at or above count is decided already.
	NextNonce(ctx context.Context, chain money.ChainID, signer common.Address, count uint64) (next uint64, spent bool, err error)
	// HoldsNonce says whether an attempt of the signer was ever saved under a nonce.
	HoldsNonce(ctx context.Context, chain money.ChainID, signer common.Address, nonce uint64) (held bool, err error)
	// Accounted says whether a transaction is the reference of a settlement.
	Accounted(ctx context.Context, chain money.ChainID, ref string) (accounted bool, err error)
	// AddFee records a fee that was paid, in wei, at a chain time.
	AddFee(ctx context.Context, chain money.ChainID, wei money.Amount, at time.Time) error
	// FeesSince returns the fees paid since a time.
	FeesSince(ctx context.Context, chain money.ChainID, since time.Time) (money.Amount, error)
}

var _ Ledger = (*ledger.Ledger)(nil)

// SenderConfig is what a [Sender] is made of; all but Now is required.
type SenderConfig struct {
	Chain  *Chain
	Wallet *wallet.Wallet
	Ledger Ledger
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
}

// Sender sends the transactions of one key on one chain. There must be one Sender
// per chain and key: it is their nonce lane. It is safe for concurrent use.
type Sender struct {
	chain  *Chain
	wallet *wallet.Wallet
	ledger Ledger
	now    func() time.Time
	// lane is held from the choice of a nonce until its bytes are stored.
	lane      lock
	purchases locks
	spenders  locks
	waits     waits
	forgotten forgotten
	wishes    wishes
}

// NewSender returns a sender.
func NewSender(cfg SenderConfig) (*Sender, error) {
	if cfg.Chain == nil || cfg.Wallet == nil || cfg.Ledger == nil {
		return nil, errors.New("evm: sender needs a chain, a wallet and a ledger")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Sender{chain: cfg.Chain, wallet: cfg.Wallet, ledger: cfg.Ledger, now: cfg.Now, lane: newLock(), purchases: newLocks(), spenders: newLocks(), waits: newWaits(), wishes: newWishes()}, nil
}

// Receipt is a transaction that a final block holds.
type Receipt struct {
	Tx      common.Hash
	Block   uint64
	At      time.Time
	GasUsed uint64
	// Fee is what the transaction cost, in wei.
	Fee money.Amount
}

// Send makes the call that a grant admits and waits until a final block holds it.
// A transfer and a lock are made at most once per purchase. Called again, after a
// restart too, it goes on with the bytes that are stored. An approval is made only
// while nothing is locked and the allowance is not the granted amount, and revoked
// before if it is another one; where there is nothing to do, for a revocation too,
// the receipt may be zero. A release or a refund that reverted is signed again.
//
// An error that wraps [ErrReverted], [ErrCancelled], [ErrFeeCeiling],
// [ErrGasBudget], [ErrGasBalance] or [ErrLate] is proof that the call did nothing
// and that nothing stored of its kind can do anything any more. After any other,
// the end of ctx included, it may be under way.
func (s *Sender) Send(ctx context.Context, g policy.Grant, c Call) (Receipt, error) {
	if err := c.admits(g); err != nil {
		return Receipt{}, err
	}
	if g.Chain() != s.chain.ID() {
		return Receipt{}, fmt.Errorf("%s on %s: %w", c.Kind, s.chain.ID(), wallet.ErrNoGrant)
	}
	release, err := s.purchases.lock(ctx, string(g.Purchase()))
	if err != nil {
		return Receipt{}, err
	}
	defer release()
	if c.Kind == AttemptApprove || c.Kind == AttemptRevoke {
		return s.allow(ctx, g, c)
	}
	return s.carry(ctx, g, c, false)
}

// carry sees a call through. With again it does not count what a final block
// holds already.
func (s *Sender) carry(ctx context.Context, g policy.Grant, c Call, again bool) (Receipt, error) {
	for {
		f, err := s.stored(ctx, g.Purchase(), c)
		if err != nil {
			return Receipt{}, err
		}
		if f == nil || (again && f.decidedBy() != nil) {
			if f, err = s.prepare(ctx, g, c); err != nil {
				return Receipt{}, err
			}
		}
		if err := f.matches(g, c); err != nil {
			return Receipt{}, err
		}
		r, err := s.follow(ctx, f, order{g, c})
		if !errors.Is(err, errDisplaced) {
			return r, err
		}
		// Proven dead and recorded as such: the next round signs under a new nonce.
	}
}

// Standing says how a purchase's call stands.
type Standing int

// The standings.
const (
	// StandingNone: nothing that could do anything is stored.
	StandingNone Standing = iota
	// StandingOpen: it may still be mined, or is mined but not final.
	StandingOpen
	// StandingDone: a final block holds it.
	StandingDone
	// StandingReverted: a final block holds it as failed.
	StandingReverted
	// StandingCancelled: a final block holds a cancellation under its nonce.
	StandingCancelled
)

// Look says how a purchase's call stands, by one look at the chain. It sends
// nothing. While [Sender.Send] is at work on the purchase the answer is
// [StandingOpen]. An error means that nobody could be asked.
func (s *Sender) Look(ctx context.Context, id policy.PurchaseID, c Call) (Standing, Receipt, error) {
	release, ok := s.purchases.try(string(id))
	if !ok {
		return StandingOpen, Receipt{}, nil
	}
	defer release()
	f, err := s.stored(ctx, id, c)
	switch {
	case err == nil && f == nil:
		return StandingNone, Receipt{}, nil
	case err == nil:
	default:
		return standingOf(Receipt{}, false, err)
	}
	r, done, err := s.look(ctx, f)
	if done || decided(err) {
		s.conclusion(s.waits.begin(f, s.now()), err)
	}
	return standingOf(r, done, err)
}

func standingOf(r Receipt, done bool, err error) (Standing, Receipt, error) {
	switch {
	case errors.Is(err, ErrReverted):
		return StandingReverted, r, nil
	case errors.Is(err, ErrCancelled):
		return StandingCancelled, r, nil
	case err != nil:
		return StandingOpen, Receipt{}, err
	case done:
		return StandingDone, r, nil
	}
	return StandingOpen, Receipt{}, nil
}
