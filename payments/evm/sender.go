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
	// HighestNonce returns the highest account nonce that the signer used.
	HighestNonce(ctx context.Context, chain money.ChainID, signer common.Address) (nonce uint64, ok bool, err error)
	// AddFee records a fee that was paid, in wei, at a chain time.
	AddFee(ctx context.Context, chain money.ChainID, wei money.Amount, at time.Time) error
	// FeesSince returns the fees paid since a time.
	FeesSince(ctx context.Context, chain money.ChainID, since time.Time) (money.Amount, error)
}

var _ Ledger = (*ledger.Ledger)(nil)

// AttemptTransfer is the kind of the attempts that a [Sender] stores.
const AttemptTransfer = "transfer"

// SenderConfig is what a [Sender] is made of; all but Now is required.
type SenderConfig struct {
	Chain  *Chain
	Wallet *wallet.Wallet
	Ledger Ledger
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
}

// Sender sends the transfers of one key on one chain. There must be one Sender
// per chain and key: it is their nonce lane. It is safe for concurrent use.
type Sender struct {
	chain  *Chain
	wallet *wallet.Wallet
	ledger Ledger
	now    func() time.Time
	// lane is held from the choice of a nonce until its bytes are stored.
	lane      lock
	purchases locks
}

// NewSender returns a sender.
func NewSender(cfg SenderConfig) (*Sender, error) {
	if cfg.Chain == nil || cfg.Wallet == nil || cfg.Ledger == nil {
		return nil, errors.New("evm: sender needs a chain, a wallet and a ledger")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Sender{chain: cfg.Chain, wallet: cfg.Wallet, ledger: cfg.Ledger, now: cfg.Now, lane: newLock(), purchases: locks{held: map[policy.PurchaseID]*waiting{}}}, nil
}

// Receipt is a transfer that a final block holds.
type Receipt struct {
	Tx      common.Hash
	Block   uint64
	At      time.Time
	GasUsed uint64
	// Fee is what the transaction cost, in wei.
	Fee money.Amount
}

// Transfer makes the transfer that a grant admits, at most once per purchase, and
// waits until a final block holds it. Called again, after a restart too, it goes
// on with the bytes that are stored.
//
// An error that wraps [ErrReverted], [ErrFeeCeiling], [ErrGasBudget],
// [ErrGasBalance] or [ErrLate] is proof that nothing moved and nothing stored can
// move any more. After any other, the end of ctx included, the transfer may be
// under way.
func (s *Sender) Transfer(ctx context.Context, g policy.Grant) (Receipt, error) {
	if !g.Valid() || g.Kind() != policy.KindTransfer || g.Chain() != s.chain.ID() {
		return Receipt{}, fmt.Errorf("transfer on %s: %w", s.chain.ID(), wallet.ErrNoGrant)
	}
	release, err := s.purchases.lock(ctx, g.Purchase())
	if err != nil {
		return Receipt{}, err
	}
	defer release()
	for {
		p, err := s.stored(ctx, g.Purchase())
		if err != nil {
			return Receipt{}, err
		}
		if p == nil {
			if p, err = s.prepare(ctx, g); err != nil {
				return Receipt{}, err
			}
		}
		if err := p.matches(g); err != nil {
			return Receipt{}, err
		}
		r, err := s.follow(ctx, p)
		if !errors.Is(err, errDisplaced) {
			return r, err
		}
		// Proven dead and recorded as such: the next round signs under a new nonce.
	}
}

// Standing says how a purchase's transfer stands.
type Standing int

// The standings.
const (
	// StandingNone: nothing that could move value is stored.
	StandingNone Standing = iota
	// StandingOpen: it may still be mined, or is mined but not final.
	StandingOpen
	// StandingDone: a final block holds the transfer.
	StandingDone
	// StandingReverted: a final block holds it as failed.
	StandingReverted
)

// Look says how a purchase's transfer stands, by one look at the chain. It sends
// nothing. While [Sender.Transfer] is at work on the purchase the answer is
// [StandingOpen]. An error means that nobody could be asked.
func (s *Sender) Look(ctx context.Context, id policy.PurchaseID) (Standing, Receipt, error) {
	release, ok := s.purchases.try(id)
	if !ok {
		return StandingOpen, Receipt{}, nil
	}
	defer release()
	p, err := s.stored(ctx, id)
	switch {
	case errors.Is(err, ErrReverted):
		return StandingReverted, Receipt{}, nil
	case err != nil:
		return StandingOpen, Receipt{}, err
	case p == nil:
		return StandingNone, Receipt{}, nil
	}
	r, done, err := s.look(ctx, p)
	switch {
	case errors.Is(err, ErrReverted):
		return StandingReverted, r, nil
	case err != nil:
		return StandingOpen, Receipt{}, err
	case done:
		return StandingDone, r, nil
	}
	return StandingOpen, Receipt{}, nil
}
