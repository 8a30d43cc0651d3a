// SPDX-License-Identifier: Apache-2.0

package evm

import (
	"context"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/ledger"
	"github.com/agentd-project/agentd/policy"
	"github.com/agentd-project/agentd/wallet"
)

// flight is all that was signed under one nonce for one call of a purchase: the
// first bytes, their replacements, and a cancellation. Any of them may be mined,
// at most one can.
type flight struct {
	kind   string
	nonce  uint64
	escrow *wallet.EscrowABI
	// signed holds them in the order in which they were signed.
	signed []*pending
}

// newest returns the bytes that are sent: the last that were signed.
func (f *flight) newest() *pending { return f.signed[len(f.signed)-1] }

// decidedBy returns the bytes that a final block holds, nil if none is known to.
func (f *flight) decidedBy() *pending {
	for _, p := range f.signed {
		if p.Status == ledger.AttemptFinal || p.Status == ledger.AttemptFailed {
			return p
		}
	}
	return nil
}

// mined returns the bytes that were last seen in a block, nil if none were.
func (f *flight) mined() *pending {
	for _, p := range f.signed {
		if p.Status == ledger.AttemptMined {
			return p
		}
	}
	return nil
}

// holds says whether a transaction is one of those that were signed.
func (f *flight) holds(hash common.Hash) bool {
	return slices.ContainsFunc(f.signed, func(p *pending) bool { return p.tx.Hash() == hash })
}

// dead says whether another transaction is proven to have taken the nonce.
func (f *flight) dead() bool {
	for _, p := range f.signed {
		if p.Status != ledger.AttemptDead {
			return false
		}
	}
	return true
}

// matches holds every stored byte against the grant under which it is sent again.
func (f *flight) matches(g policy.Grant, c Call) error {
	for _, p := range f.signed {
		if p.Kind == AttemptCancel {
			if err := p.matches(p.from, nil); err != nil {
				return err
			}
			continue
		}
		if err := p.matches(c.target(g, p.from)); err != nil {
			return err
		}
	}
	return nil
}

// stored returns the purchase's flight of a kind that counts: the one that is
// under way, or else the last that a final block holds; nil if there is none or
// each is proven dead. It fails with [ErrReverted] or [ErrCancelled] where that
// is decided and nothing else may be signed.
func (s *Sender) stored(ctx context.Context, id policy.PurchaseID, c Call) (*flight, error) {
	attempts, err := s.ledger.Attempts(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	flights, err := s.flights(id, attempts)
	if err != nil {
		return nil, err
	}
	var found *flight
	for _, f := range flights {
		f.escrow = c.Escrow
		by := f.decidedBy()
		if by != nil && by.Kind == AttemptCancel {
			if Pays(f.kind) && Pays(c.Kind) {
				return nil, fmt.Errorf("%w: %s by %s", ErrCancelled, f.kind, by.Hash)
			}
			continue
		}
		if by == nil && f.dead() && f.newest().Kind == AttemptCancel && Pays(f.kind) && Pays(c.Kind) {
			// Something else took the nonce, but the owner's word stands.
			return nil, fmt.Errorf("%w: %s, whose nonce another transaction took", ErrCancelled, f.kind)
		}
		if f.kind != c.Kind || f.dead() {
			continue
		}
		if by != nil && by.Status == ledger.AttemptFailed {
			if once(f.kind) {
				return nil, fmt.Errorf("%w: %s", ErrReverted, by.Hash)
			}
			continue
		}
		if by == nil || found == nil || found.decidedBy() != nil {
			found = f
		}
	}
	return found, nil
}

// flights groups a purchase's transactions by nonce.
func (s *Sender) flights(id policy.PurchaseID, attempts []ledger.Attempt) (flights []*flight, err error) {
	byNonce := map[string]*flight{}
	for _, a := range attempts {
		if !Transaction(a.Kind) {
			continue
		}
		if a.Chain != s.chain.ID() || a.Signer != s.wallet.Address() {
			return nil, fmt.Errorf("purchase %s has a %s by %s on %s", id, a.Kind, a.Signer, a.Chain)
		}
		p, err := decode(a)
		if err != nil {
			return nil, err
		}
		f := byNonce[a.Nonce]
		switch {
		case f == nil:
			f = &flight{kind: a.Kind, nonce: p.tx.Nonce()}
			byNonce[a.Nonce] = f
			flights = append(flights, f)
		case a.Kind != f.kind && a.Kind != AttemptCancel:
			return nil, fmt.Errorf("purchase %s has a %s and a %s under nonce %s", id, f.kind, a.Kind, a.Nonce)
		}
		f.signed = append(f.signed, p)
	}
	return flights, nil
}
